from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fold import Conversation
from server.node import GrowingText, Hole
from server.protocol import (
    AiEvent,
    AnyLogEvent,
    DeltaEvent,
    EditedEvent,
    ErrorEvent,
    MovedEvent,
    NoticeEvent,
    QueuedEvent,
    RemovedEvent,
    SelectedEvent,
    Snapshot,
    TimingInfo,
    TypingEvent,
    UsageInfo,
    UserEvent,
)


def user(identity: str, parent: str | None = None, text: str = "Hi") -> UserEvent:
    return UserEvent(id=identity, parent_id=parent, message=text, run=f"run-{identity}", cmd_id=f"cmd-{identity}")


def typing(identity: str) -> TypingEvent:
    return TypingEvent(id=f"run-{identity}", model="echo/echo")


def delta(identity: str, offset: int, text: str, channel: str = "content") -> DeltaEvent:
    return DeltaEvent.model_validate({"id": f"run-{identity}", "offset": offset, "message": text, "channel": channel})


def ai(identity: str, text: str) -> AiEvent:
    return AiEvent(
        id=f"run-{identity}",
        parent_id=identity,
        message=text,
        finish_reason="stop",
        usage=UsageInfo(prompt_tokens=1, completion_tokens=1),
        timings=TimingInfo(),
        model="echo/echo",
    )


def error(identity: str) -> ErrorEvent:
    return ErrorEvent(id=f"run-{identity}", code="backend_error", message="It broke.")


def numbered(*events: AnyLogEvent) -> list[AnyLogEvent]:
    return [event.model_copy(update={"seq": seq, "session": "s"}) for seq, event in enumerate(events, start=1)]


def fold(*events: AnyLogEvent) -> Conversation:
    state = Conversation()
    for event in numbered(*events):
        state.apply(event)
    return state


A_LONG_TALK = numbered(
    user("a"),
    typing("a"),
    delta("a", 0, "thinking", "reasoning"),
    delta("a", 0, "One "),
    QueuedEvent(id="b", message="And?", cmd_id="cmd-b"),
    QueuedEvent(id="gone", message="Never mind"),
    EditedEvent(id="gone", message="Never"),
    delta("a", 4, "two."),
    ai("a", "One two."),
    RemovedEvent(id="gone"),
    user("b", "run-a", "And?"),
    typing("b"),
    NoticeEvent(message="The model is another one now."),
    delta("b", 0, "Half"),
    error("b"),
    user("c", "run-a", "Again"),
    typing("c"),
    delta("c", 0, "Still going"),
    SelectedEvent(id="b"),
)


def snapshot(state: Conversation) -> Snapshot:
    return state.snapshot("s", "e")


def test_a_message_and_its_answer_become_two_linked_messages():
    messages = snapshot(
        fold(user("a"), typing("a"), delta("a", 0, "Hel"), delta("a", 3, "lo"), ai("a", "Hello"))
    ).messages
    assert [(m.id, m.parent_id, m.role, m.message) for m in messages] == [
        ("a", None, "user", "Hi"),
        ("run-a", "a", "ai", "Hello"),
    ]
    assert (messages[0].run, messages[0].cmd_id, messages[1].finish_reason) == ("run-a", "cmd-a", "stop")


def test_a_running_answer_is_listed_with_its_text_so_far_until_it_ends():
    state = fold(user("a"), typing("a"), delta("a", 0, "Hm", "reasoning"), delta("a", 0, "Hel"))
    (running,) = snapshot(state).running
    assert (running.id, running.parent_id, running.message, running.reasoning) == ("run-a", "a", "Hel", "Hm")
    assert snapshot(fold(user("a"), typing("a"), ai("a", "Hello"))).running == []


def test_a_failed_answer_keeps_its_partial_text():
    message = snapshot(fold(user("a"), typing("a"), delta("a", 0, "Hel"), error("a"))).messages[1]
    assert message.message == "Hel"
    assert message.error is not None
    assert message.error.code == "backend_error"


def test_a_second_answer_to_the_same_place_is_a_branch_and_the_newest_is_selected():
    state = fold(
        user("a"), typing("a"), ai("a", "1"), user("b", "run-a"), typing("b"), ai("b", "2"), user("c", "run-a")
    )
    selected = {m.id: m.selected for m in snapshot(state).messages}
    assert selected == {"a": True, "run-a": True, "b": False, "run-b": True, "c": True}
    assert state.leaf() == "c"
    assert [node.id for node in state.path("run-b")] == ["a", "run-a", "b", "run-b"]


def test_selecting_a_branch_goes_down_to_the_leaf_that_was_selected_in_it():
    state = fold(
        user("a"), typing("a"), ai("a", "1"), user("b", "run-a"), typing("b"), user("c", "run-a"), SelectedEvent(id="b")
    )
    assert state.leaf() == "run-b"


def test_removing_a_message_takes_what_hangs_on_it_and_selects_a_sibling():
    talk = (user("a"), typing("a"), ai("a", "1"), user("b", "run-a"), typing("b"), user("c", "run-a"), typing("c"))
    state = fold(*talk, RemovedEvent(id="c"))
    assert list(state.nodes) == ["a", "run-a", "b", "run-b"]
    assert state.leaf() == "run-b"


def test_a_queued_prompt_waits_until_its_message_comes():
    waiting = (user("a"), typing("a"), QueuedEvent(id="b", message="Next"))
    assert [prompt.message for prompt in snapshot(fold(*waiting)).queue] == ["Next"]
    assert snapshot(fold(*waiting, ai("a", "1"), user("b", "run-a", "Next"))).queue == []


def test_a_notice_is_shown_where_it_came_and_is_no_turn():
    state = fold(user("a"), typing("a"), NoticeEvent(message="Cut"), user("b", "run-a"))
    assert [(m.role, m.parent_id) for m in snapshot(state).messages] == [
        ("user", None),
        ("ai", "a"),
        ("notice", "run-a"),
        ("user", "run-a"),
    ]


def test_applying_every_event_twice_changes_nothing():
    twice = Conversation()
    for event in A_LONG_TALK:
        twice.apply(event)
        twice.apply(event)
    once = Conversation()
    for event in A_LONG_TALK:
        once.apply(event)
    assert snapshot(twice) == snapshot(once)


@given(st.lists(st.integers(0, len(A_LONG_TALK) - 1), max_size=30))
def test_events_repeated_at_any_moment_change_nothing(repeats: list[int]):
    state = Conversation()
    for event in A_LONG_TALK:
        state.apply(event)
        for number in repeats:
            if number < event.seq:
                state.apply(A_LONG_TALK[number])
    assert snapshot(state) == snapshot(fold(*A_LONG_TALK))


@pytest.mark.parametrize("cut", range(len(A_LONG_TALK) + 1))
def test_a_snapshot_taken_anywhere_and_the_rest_of_the_log_lead_to_the_same_state(cut: int):
    before = Conversation()
    for event in A_LONG_TALK[:cut]:
        before.apply(event)
    over_the_wire = Snapshot.model_validate_json(snapshot(before).model_dump_json(exclude_none=True))
    after = Conversation.from_snapshot(over_the_wire)
    for event in A_LONG_TALK[cut:]:
        after.apply(event)
    assert snapshot(after) == snapshot(fold(*A_LONG_TALK))
    assert after.leaf() == fold(*A_LONG_TALK).leaf()


def test_an_event_out_of_turn_is_a_hole_and_not_silence():
    state = Conversation()
    with pytest.raises(Hole):
        state.apply(numbered(user("a"), typing("a"))[1])


@given(st.lists(st.text(max_size=5)), st.data())
def test_growing_text_takes_overlapping_pieces_and_refuses_holes(pieces: list[str], data: st.DataObject):
    whole = "".join(pieces)
    text = GrowingText()
    offset = 0
    for piece in pieces:
        earlier = data.draw(st.integers(0, offset))
        text.add(earlier, whole[earlier : offset + len(piece)])
        offset += len(piece)
    assert str(text) == whole
    with pytest.raises(Hole):
        text.add(len(whole) + 1, "beyond")


# Going on, and beside


def begun(seq: int, identity: str, parent: str | None = None) -> TypingEvent:
    return TypingEvent(seq=seq, id=identity, parent_id=parent, model="m")


def test_an_answer_goes_on_in_the_same_message() -> None:
    state = conversation_with_an_answer()
    state.apply(begun(state.seq + 1, "a1"))
    node = state.nodes["a1"]
    assert node.running
    assert str(node.content) == "Paris."
    assert node.kept == (6, 0)
    state.apply(DeltaEvent(seq=state.seq + 1, id="a1", offset=6, message=" Yes."))
    assert str(node.content) == "Paris. Yes."


def test_another_answer_hangs_on_the_same_question_and_is_the_one_looked_at() -> None:
    state = conversation_with_an_answer()
    state.apply(begun(state.seq + 1, "a2", "u1"))
    assert state.nodes["a2"].parent_id == "u1"
    assert state.leaf() == "a2"
    assert state.path("a2")[0].id == "u1"


def test_an_answer_without_a_run_was_written_by_a_person() -> None:
    state = conversation_with_an_answer()
    event = finished(state.seq + 1, "a2", "London.")
    state.apply(event)
    assert str(state.nodes["a2"].content) == "London."
    assert not state.nodes["a2"].running
    assert state.leaf() == "a2"


def test_a_waiting_message_moves_to_its_place() -> None:
    state = Conversation()
    for seq, identity in enumerate(("q1", "q2", "q3"), 1):
        state.apply(QueuedEvent(seq=seq, id=identity, message=identity))
    state.apply(MovedEvent(seq=4, id="q3", position=0))
    assert list(state.queue) == ["q3", "q1", "q2"]


def test_what_has_changed_is_told_once_and_can_be_given_back() -> None:
    state = conversation_with_an_answer()
    changes = state.take_changes()
    assert changes.messages == {"u1", "a1"}
    assert not state.take_changes().messages
    state.apply(begun(state.seq + 1, "a2", "u1"))
    assert state.take_changes().messages == {"a1", "a2"}, "The one no longer looked at has changed, too."
    state.give_back(changes)
    assert state.take_changes() == changes


def test_what_is_removed_is_no_change_of_a_message() -> None:
    state = conversation_with_an_answer()
    state.apply(RemovedEvent(seq=state.seq + 1, id="u1"))
    changes = state.take_changes()
    assert changes.removed == {"u1", "a1"}
    assert not changes.messages


def conversation_with_an_answer() -> Conversation:
    state = Conversation()
    state.apply(UserEvent(seq=1, id="u1", message="The capital of France?", run="a1"))
    state.apply(begun(2, "a1", "u1"))
    state.apply(finished(3, "a1", "Paris."))
    return state


def finished(seq: int, identity: str, text: str) -> AiEvent:
    return AiEvent(
        seq=seq,
        id=identity,
        parent_id="u1",
        message=text,
        finish_reason="stop",
        usage=UsageInfo(prompt_tokens=0, completion_tokens=0),
        timings=TimingInfo(),
        model="m",
    )
