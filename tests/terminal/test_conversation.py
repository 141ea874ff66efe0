"""The terminal's fold of the log: whatever happens, it holds what the server's own fold holds."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from server import fold, protocol
from terminal.conversation import Conversation
from terminal.frames import Event, Snapshot, read

ZERO = protocol.UsageInfo(prompt_tokens=1, completion_tokens=1)
TIMES = protocol.TimingInfo()


class Log:
    """A conversation as a server would have it: makes events that could come next."""

    def __init__(self) -> None:
        self.state = fold.Conversation()
        self.events: list[protocol.AnyLogEvent] = []

    def add(self, event: protocol.AnyLogEvent) -> None:
        event = event.model_copy(update={"seq": self.state.seq + 1, "session": "s"})
        self.state.apply(event)
        self.events.append(event)

    def step(self, number: int, which: int, text: str) -> None:
        """Add an event of kind `number`, about one of the messages that it may be about, if there is one."""
        name = f"m{self.state.seq}"
        answers = [node.id for node in self.state.nodes.values() if node.role == "ai"]
        running = [node.id for node in self.state.nodes.values() if node.running]
        nodes = [node.id for node in self.state.nodes.values() if node.role != "notice"]
        queued = list(self.state.queue)
        match number % 11:
            case 0:
                self.add(protocol.UserEvent(id=name, parent_id=self.state.leaf(), message=text, run=f"r{name}"))
                self.add(protocol.TypingEvent(id=f"r{name}", parent_id=name, model="a/b"))
            case 1 | 2 | 3 if running:
                self.add(self._delta(running[which % len(running)], text, "content" if number % 2 else "reasoning"))
            case 4 if running:
                self.add(self._end(running[which % len(running)]))
            case 5 if running:
                failing = running[which % len(running)]
                self.add(protocol.ErrorEvent(id=failing, code="backend_error", message=text))
            case 6 if answers and not running:
                again = answers[which % len(answers)]
                parent = self.state.nodes[again].parent_id
                self.add(protocol.TypingEvent(id=(again, name)[which % 2], parent_id=parent, model="c/d", cmd_id="x"))
            case 7 if nodes and not running:
                self.add((protocol.SelectedEvent, protocol.RemovedEvent)[which % 2](id=nodes[which % len(nodes)]))
            case 8:
                self.add(protocol.QueuedEvent(id=name, message=text, cmd_id=name))
            case 9 if queued:
                chosen = queued[which % len(queued)]
                self.add(protocol.MovedEvent(id=chosen, position=which % 3))
                self.add(protocol.EditedEvent(id=chosen, message=text))
            case 10:
                self.add(protocol.NoticeEvent(message=text))

    def _delta(self, answer: str, text: str, channel: str) -> protocol.DeltaEvent:
        node = self.state.nodes[answer]
        offset = (node.content if channel == "content" else node.reasoning).length
        return protocol.DeltaEvent.model_validate(
            {"id": answer, "channel": channel, "offset": max(0, offset - 1), "message": str(node.content)[-1:] + text}
            if channel == "content"
            else {"id": answer, "channel": channel, "offset": offset, "message": text}
        )

    def _end(self, answer: str) -> protocol.AiEvent:
        node = self.state.nodes[answer]
        return protocol.AiEvent(
            id=answer,
            parent_id=node.parent_id or "",
            message=str(node.content),
            reasoning=str(node.reasoning) or None,
            finish_reason="stop",
            usage=ZERO,
            timings=TIMES,
            model="a/b",
        )


STEPS = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 9), st.text("aé😀 \n", max_size=4)), max_size=40)


def log_of(steps: list[tuple[int, int, str]]) -> Log:
    log = Log()
    for step in steps:
        log.step(*step)
    return log


def frame(message: protocol.Message) -> Event | Snapshot:
    told = read(protocol.encode(message))
    assert isinstance(told, (Event, Snapshot))
    return told


def shown(conversation: Conversation) -> Iterator[tuple[object, ...]]:
    for each in conversation.path():
        error = each.error.message if each.error else None
        yield (each.id, each.role, str(each.content), str(each.reasoning), each.finish_reason, error, each.running)


def expected(state: fold.Conversation) -> list[tuple[object, ...]]:
    """The path of the server's fold, notices after what they hang on."""
    nodes = list(state.nodes.values())
    path: list[fold.Node] = [node for node in nodes if node.role == "notice" and node.parent_id is None]
    for node in state.path(state.leaf()):
        path += [node, *(each for each in nodes if each.role == "notice" and each.parent_id == node.id)]
    return [
        (
            *(node.id, node.role, str(node.content), str(node.reasoning), node.finish_reason),
            *(node.error.message if node.error else None, node.running),
        )
        for node in path
    ]


@given(STEPS)
def test_the_fold_is_the_servers(steps: list[tuple[int, int, str]]) -> None:
    log, ours = log_of(steps), Conversation()
    for event in log.events:
        assert ours.apply(frame(event)) == "applied"
    assert list(shown(ours)) == expected(log.state)
    assert [waiting.id for waiting in ours.queue.values()] == list(log.state.queue)


@given(STEPS, st.data())
def test_a_snapshot_anywhere_and_events_twice_lead_to_the_same(
    steps: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    log, ours, halfway = log_of(steps), Conversation(), fold.Conversation()
    place = data.draw(st.integers(0, len(log.events)))
    for event in log.events[:place]:
        halfway.apply(event)
    ours.apply(frame(halfway.snapshot("s", "e")))
    for event in log.events[max(0, place - 5) :]:
        assert ours.apply(frame(event)) == ("known" if event.seq <= place else "applied")
    assert list(shown(ours)) == expected(log.state)
    assert ours.place() == ({"session": "s", "epoch": "e", "after": str(ours.seq)} if ours.seq else {"session": "s"})


@given(STEPS)
def test_what_is_missing_is_noticed(steps: list[tuple[int, int, str]]) -> None:
    log, ours = log_of(steps), Conversation()
    for event in log.events[1:]:
        assert ours.apply(frame(event)) == "gap"
    assert ours.seq == 0


def test_types_of_later_versions_keep_their_place_in_the_log() -> None:
    ours = Conversation()
    assert ours.apply(_event('{"type": "sung", "seq": 1, "session": "s", "melody": []}')) == "applied"
    assert ours.apply(_event('{"type": "notice", "seq": 2, "message": "Hello", "colour": "red"}')) == "applied"
    assert [message.role for message in ours.path()] == ["notice"]


def _event(text: str) -> Event:
    told = read(text)
    assert isinstance(told, Event)
    return told
