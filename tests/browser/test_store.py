"""The page's fold against the server's: the same log gives the same conversation, however it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from server.fold import Conversation
from server.node import Node
from server.protocol import (
    AiEvent,
    AnyLogEvent,
    DeltaEvent,
    EditedEvent,
    ErrorEvent,
    Message,
    MovedEvent,
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
from tests.browser.servers import Server

pytestmark = pytest.mark.browser

T = TypeVar("T")
PIECES = ("a", "Bonjour ", "語", "😀 👩‍👩‍👧", "\n", "é", "\u2028", "**")
CHANNELS = ("content", "content", "reasoning")
FINISHES = ("stop", "length", "cancelled", "interrupted", "abandoned")
FOLD = """async ([deliveries]) => {
    const { Store } = await import("/static/store.js");
    const store = new Store();
    const results = deliveries.map((frame) => store.apply(frame));
    const { tree } = store;
    const messages = [...store.messages.values()].map(({ running, ...message }) => ({
        ...message, selected: tree.isSelected(message.id), shown: tree.isShown(message.id),
        siblings: message.role === "notice" ? [] : tree.siblings(message.id), size: tree.size(message.id) }));
    const path = store.path().filter(({ role }) => role !== "notice").map(({ id }) => id);
    const running = store.running.map(({ id }) => id);
    const found = { seq: store.seq, messages, path, leaf: tree.leaf(), queue: store.queue, results, running };
    return JSON.parse(JSON.stringify(found)); // what is undefined is left out, as on the wire
}"""


class LogWriter:
    """Writes a random but lawful log, as sessions do, out of what `data` draws."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self.state = Conversation()
        self.events: list[AnyLogEvent] = []

    def write(self, steps: int) -> None:
        kinds = (self._say, self._say, self._write, self._write, self._end, self._queue, self._turn, self._change)
        for _ in range(steps):
            self.draw(st.sampled_from(kinds))()

    def draw(self, strategy: st.SearchStrategy[T]) -> T:
        return self._data.draw(strategy)

    def _say(self) -> None:
        """A message anywhere in the tree, and mostly an answer to it."""
        number = len(self.events)
        parents: list[str | None] = [self.state.leaf(), None, *(node.id for node in self._turns("ai"))]
        waiting = list(self.state.queue.values())
        if self.draw(st.booleans()) and waiting:
            prompt = waiting[0]
            said = UserEvent(id=prompt.id, message=prompt.message, cmd_id=prompt.cmd_id, run=f"answer-{number}")
        else:
            said = UserEvent(id=f"user-{number}", message="?", cmd_id=f"cmd-{number}", run=f"answer-{number}", at=1.5)
        self._publish(said.model_copy(update={"parent_id": self.draw(st.sampled_from(parents))}))
        if self.draw(st.integers(0, 4)):
            self._publish(TypingEvent(id=f"answer-{number}", model="m", at=2.5))

    def _write(self) -> None:
        for node in self._some([node for node in self.state.nodes.values() if node.running]):
            channel = self.draw(st.sampled_from(CHANNELS))
            text = node.content if channel == "content" else node.reasoning
            piece = self.draw(st.sampled_from(PIECES))
            self._publish(DeltaEvent(id=node.id, channel=channel, offset=text.length, message=piece))

    def _end(self) -> None:
        for node in self._some([node for node in self.state.nodes.values() if node.running]):
            if self.draw(st.booleans()):
                self._publish(ErrorEvent(id=node.id, code="backend_error", message="It broke."))
            else:
                self._publish(self._answer(node.id, node.parent_id, str(node.content), str(node.reasoning)))

    def _queue(self) -> None:
        number, waiting = len(self.events), list(self.state.queue)
        match self.draw(st.integers(0, 3)) if waiting else 0:
            case 0:
                self._publish(QueuedEvent(id=f"queued-{number}", message="next", cmd_id=f"q-{number}"))
            case 1:
                self._publish(EditedEvent(id=self.draw(st.sampled_from(waiting)), message=f"edited {number}"))
            case 2:
                place = self.draw(st.integers(0, len(waiting)))
                self._publish(MovedEvent(id=self.draw(st.sampled_from(waiting)), position=place))
            case 3:
                self._publish(RemovedEvent(id=self.draw(st.sampled_from(waiting))))

    def _turn(self) -> None:
        """Once more, go on, or write it oneself."""
        number = len(self.events)
        for node in self._some([node for node in self._turns("ai") if not node.running]):
            match self.draw(st.integers(0, 2)):
                case 0:
                    again = TypingEvent(id=f"again-{number}", parent_id=node.parent_id, model="n", cmd_id=f"c-{number}")
                    self._publish(again)
                case 1:
                    self._publish(TypingEvent(id=node.id, parent_id=node.parent_id, model="n", cmd_id=f"c-{number}"))
                case 2:
                    self._publish(self._answer(f"written-{number}", node.parent_id, "By hand.", ""))

    def _change(self) -> None:
        self._publish(NoticeEvent(message=f"notice {len(self.events)}"))
        for node in self._some([*self._turns("ai"), *self._turns("user")]):
            event = RemovedEvent if self.draw(st.integers(0, 3)) == 0 else SelectedEvent
            self._publish(event(id=node.id))

    def _answer(self, identity: str, parent: str | None, message: str, reasoning: str) -> AiEvent:
        return AiEvent(
            id=identity,
            parent_id=parent or "",
            message=message,
            reasoning=reasoning or None,
            finish_reason=self.draw(st.sampled_from(FINISHES)),
            usage=UsageInfo(prompt_tokens=3, completion_tokens=5),
            timings=TimingInfo(ttft_ms=1.5),
            model="m",
            at=3.5,
        )

    def _turns(self, role: str) -> list[Node]:
        return [node for node in self.state.nodes.values() if node.role == role]

    def _some(self, nodes: list[Node]) -> list[Node]:
        return [self.draw(st.sampled_from(nodes))] if nodes else []

    def _publish(self, event: AnyLogEvent) -> None:
        event = event.model_copy(update={"session": "s", "seq": len(self.events) + 1})
        self.state.apply(event)
        self.events.append(event)


def as_frame(message: Message) -> dict[str, object]:
    frame: dict[str, object] = orjson.loads(encode(message))
    return frame


def assert_same(page: Page, deliveries: list[dict[str, object]], state: Conversation) -> None:
    found = page.evaluate(FOLD, [deliveries])
    snapshot = state.snapshot("s", "e")
    assert found["seq"] == snapshot.seq
    assert found["leaf"] == state.leaf()
    assert found["path"] == [node.id for node in state.path(state.leaf())]
    assert sorted(found["running"]) == sorted(answer.id for answer in snapshot.running)
    assert found["queue"] == [as_frame(prompt) for prompt in snapshot.queue]
    for ours, message in zip(found["messages"], snapshot.messages, strict=True):
        wanted = as_frame(message)
        shown, siblings, size = ours.pop("shown"), ours.pop("siblings"), ours.pop("size")
        assert {key: value for key, value in ours.items() if value not in (None, "")} == {
            key: value for key, value in wanted.items() if value not in (None, "")
        }
        turns = [node for node in state.nodes.values() if node.role != "notice"]
        if message.role != "notice":
            assert shown == (message.id in found["path"])
            assert siblings == [node.id for node in turns if node.parent_id == message.parent_id]
        assert size == sum(node.id in state.branch(message.id) for node in turns)


@pytest.fixture(scope="module")
def page(browser: Browser, scripted_server: Server) -> Iterator[Page]:
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()


many = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@many
@given(data=st.data())
def test_the_whole_log_folds_to_the_servers_state(page: Page, data: st.DataObject) -> None:
    writer = LogWriter(data)
    writer.write(24)
    assert_same(page, [as_frame(event) for event in writer.events], writer.state)


@many
@given(data=st.data())
def test_a_snapshot_and_the_rest_with_repeats_folds_to_the_same(page: Page, data: st.DataObject) -> None:
    writer = LogWriter(data)
    writer.write(24)
    cut = writer.draw(st.integers(0, len(writer.events)))
    early = Conversation()
    for event in writer.events[:cut]:
        early.apply(event)
    rest = [as_frame(event) for event in writer.events[max(0, cut - 5) :]]
    repeated = [frame for frame in rest for _ in range(2)]
    snapshot = as_frame(early.snapshot("s", "e"))
    assert_same(page, [snapshot, *repeated], writer.state)
    assert_same(page, [*(as_frame(event) for event in writer.events), as_frame(writer.state.snapshot("s", "f"))],
                writer.state)  # fmt: skip


def test_a_hole_is_noticed_and_changes_nothing(page: Page) -> None:
    said = UserEvent(session="s", seq=1, id="u", message="?", run="a")
    begun = TypingEvent(session="s", seq=2, id="a", model="m")
    late = DeltaEvent(session="s", seq=4, id="a", offset=0, message="late")
    beyond = DeltaEvent(session="s", seq=3, id="a", offset=7, message="beyond")
    found = page.evaluate(FOLD, [[as_frame(event) for event in (said, begun, late, beyond)]])
    assert found["results"] == ["applied", "applied", "gap", "gap"]
    assert found["seq"] == 2


SAME = """async ([snapshot]) => {
    const { Store } = await import("/static/store.js");
    const store = new Store();
    store.apply(snapshot);
    const [before, changed] = [store.messages.get("u"), store.messages.get("a")];
    store.apply({ ...structuredClone(snapshot), epoch: "another",
                  messages: snapshot.messages.map((m) => ({ ...m, ...(m.id === "a" && { message: "Hi there" }) })) });
    return [store.messages.get("u") === before, store.messages.get("a") === changed, store.messages.get("a").message];
}"""


def test_what_a_snapshot_does_not_change_stays_the_same_object(page: Page) -> None:
    messages = [
        {"id": "u", "parent_id": None, "role": "user", "message": "Hello", "selected": True, "run": "a"},
        {"id": "a", "parent_id": "u", "role": "ai", "message": "Hi", "selected": True, "finish_reason": "stop"},
    ]
    snapshot = {"type": "snapshot", "session": "s", "epoch": "e", "seq": 4, "messages": messages, "running": [],
                "queue": []}  # fmt: skip
    assert page.evaluate(SAME, [snapshot]) == [True, False, "Hi there"]
