"""The page's fold against the server's: the same log gives the same conversation, however it arrives."""

from __future__ import annotations

import random

import orjson
import pytest
from playwright.sync_api import Page

from server.fold import Conversation
from server.protocol import (
    AiEvent,
    AnyLogEvent,
    DeltaEvent,
    EditedEvent,
    ErrorEvent,
    NoticeEvent,
    QueuedEvent,
    RemovedEvent,
    SelectedEvent,
    TimingInfo,
    TypingEvent,
    UsageInfo,
    UserEvent,
    encode,
)
from tests.browser.chat_page import ChatPage

pytestmark = pytest.mark.browser

PIECES = ("a", "Bonjour ", "語", "😀 👩‍👩‍👧", "\n", "é", "\u2028", "**")
FOLD = """async ([deliveries]) => {
    const { Store } = await import("/static/store.js");
    const store = new Store();
    const results = deliveries.map((frame) => store.apply(frame));
    const messages = [...store.messages.values()].map(({ running, ...message }) => message);
    return { seq: store.seq, messages, path: store.path().map((m) => m.id), queue: store.queue, results,
             running: store.running.map((m) => m.id) };
}"""


class LogWriter:
    """Writes a random but lawful log, as sessions do."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.state = Conversation()
        self.events: list[AnyLogEvent] = []

    def write(self, turns: int) -> None:
        for turn in range(turns):
            self._turn(turn)
            self._change(turn)

    def _turn(self, turn: int) -> None:
        run, text = f"answer-{turn}", ""
        parent = self.state.leaf() if self.random.random() < 0.7 else self._any()
        self._publish(UserEvent(id=f"user-{turn}", parent_id=parent, message="?", cmd_id=f"cmd-{turn}", run=run))
        self._publish(TypingEvent(id=run, model="m"))
        for _ in range(self.random.randrange(8)):
            piece = self.random.choice(PIECES)
            self._publish(DeltaEvent(id=run, offset=len(text), message=piece))
            text += piece
        if self.random.random() < 0.3:
            self._publish(QueuedEvent(id=f"queued-{turn}", message="next", cmd_id=f"q-{turn}"))
        if turn and self.random.random() < 0.2:
            self._publish(ErrorEvent(id=run, code="backend_error", message="It broke."))
        elif self.random.random() < 0.9:
            usage, timings = UsageInfo(prompt_tokens=3, completion_tokens=5), TimingInfo(ttft_ms=1.5)
            self._publish(
                AiEvent(
                    id=run, parent_id=f"user-{turn}", message=text, finish_reason="stop", usage=usage, timings=timings,
                    model="m",
                )
            )  # fmt: skip

    def _change(self, turn: int) -> None:
        match self.random.randrange(6):
            case 0:
                self._publish(NoticeEvent(message=f"notice {turn}"))
            case 1 if self._any():
                self._publish(SelectedEvent(id=self._any() or ""))
            case 2 if self.random.random() < 0.4 and self._any():
                self._publish(RemovedEvent(id=self._any() or ""))
            case 3 if self.state.queue:
                self._publish(EditedEvent(id=next(iter(self.state.queue)), message="edited"))
            case 4 if self.state.queue:
                self._publish(RemovedEvent(id=next(iter(self.state.queue))))

    def _any(self) -> str | None:
        turns = [node.id for node in self.state.nodes.values() if node.role != "notice" and not node.running]
        return self.random.choice(turns) if turns else None

    def _publish(self, event: AnyLogEvent) -> None:
        event = event.model_copy(update={"session": "s", "seq": len(self.events) + 1})
        self.state.apply(event)
        self.events.append(event)


def as_frame(message: object) -> dict[str, object]:
    frame: dict[str, object] = orjson.loads(encode(message))  # type: ignore[arg-type]
    return frame


def expected(state: Conversation) -> dict[str, object]:
    snapshot = as_frame(state.snapshot("s", "e"))
    path, at = [], state.path(state.leaf())
    for node in at:
        path.append(node.id)
    running = [answer["id"] for answer in snapshot["running"]]  # type: ignore[attr-defined]
    return {"seq": snapshot["seq"], "messages": snapshot["messages"], "path": path, "running": running}


def assert_same(page: Page, deliveries: list[dict[str, object]], state: Conversation) -> None:
    found, wanted = page.evaluate(FOLD, [deliveries]), expected(state)
    notices = {message["id"] for message in found["messages"] if message["role"] == "notice"}
    assert found["seq"] == wanted["seq"]
    assert [node for node in found["path"] if node not in notices] == wanted["path"]
    assert found["running"] == wanted["running"]
    assert [prompt["id"] for prompt in found["queue"]] == list(state.queue)
    keys = ("id", "parent_id", "role", "message", "finish_reason", "error", "selected", "usage", "timings")
    for ours, theirs in zip(found["messages"], wanted["messages"], strict=True):  # type: ignore[call-overload]
        assert {key: ours.get(key) for key in keys} == {key: theirs.get(key) for key in keys}


@pytest.fixture(scope="module")
def page(browser, scripted_server):  # type: ignore[no-untyped-def]
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()


@pytest.mark.parametrize("seed", range(25))
def test_the_whole_log_folds_to_the_servers_state(page: Page, seed: int) -> None:
    writer = LogWriter(seed)
    writer.write(8)
    assert_same(page, [as_frame(event) for event in writer.events], writer.state)


@pytest.mark.parametrize("seed", range(25))
def test_a_snapshot_and_the_rest_with_repeats_folds_to_the_same(page: Page, seed: int) -> None:
    writer = LogWriter(seed)
    writer.write(8)
    cut = writer.random.randrange(1, len(writer.events))
    early = Conversation()
    for event in writer.events[:cut]:
        early.apply(event)
    again = max(0, cut - 5)
    rest = [as_frame(event) for event in writer.events[again:]]
    repeated = [frame for frame in rest for _ in range(2)]
    assert_same(page, [as_frame(early.snapshot("s", "e")), *repeated], writer.state)


def test_a_hole_is_noticed_and_changes_nothing(page: Page) -> None:
    writer = LogWriter(3)
    writer.write(3)
    frames = [as_frame(event) for event in writer.events]
    found = page.evaluate(FOLD, [[*frames[:4], *frames[6:]]])
    assert found["seq"] == 4
    assert set(found["results"][4:]) == {"gap"}
