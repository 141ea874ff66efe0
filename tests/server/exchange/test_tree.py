from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.exchange.draft import BadConversation
from server.exchange.tree import MAX_MESSAGES, Entry, grow
from server.protocol import SnapshotMessage


def grown(entries: dict[str, Entry], current: str | None = None) -> list[SnapshotMessage]:
    numbers = itertools.count()
    return grow(entries, current, lambda: f"m{next(numbers)}")


def user(parent: str | None, text: str = "?", **more: object) -> Entry:
    return Entry(parent, "user", text=[text], **more)  # type: ignore[arg-type]


def ai(parent: str | None, text: str = "!", **more: object) -> Entry:
    return Entry(parent, "ai", text=[text], **more)  # type: ignore[arg-type]


def drawn(messages: list[SnapshotMessage]) -> list[str]:
    """Each message as `text<parent's text`, with a star if it is selected."""
    texts = {message.id: message.message for message in messages}
    return [f"{each.message}<{texts.get(each.parent_id or '', '')}{'*' * each.selected}" for each in messages]


def test_branches_keep_their_order_and_the_current_one_is_selected() -> None:
    entries = {"q": user(None, "q"), "b": ai("q", "b", place=1), "a": ai("q", "a", place=0), "r": user("a", "r")}
    assert drawn(grown(entries, "a")) == ["q<*", "a<q*", "r<a*", "b<q"]


def test_without_a_current_message_the_newest_is_selected() -> None:
    entries = {"q": user(None, "q"), "a": ai("q", "a", at=9.0), "b": ai("q", "b", at=5.0)}
    assert drawn(grown(entries, "nowhere")) == ["q<*", "b<q", "a<q*"]


def test_what_is_not_shown_is_passed_over() -> None:
    entries = {"root": Entry(None), "q": user("root", "q"), "tool": Entry("q"), "result": Entry("tool")}
    entries |= {"a": ai("result", "a"), "end": Entry("a")}
    assert drawn(grown(entries, "end")) == ["q<*", "a<q*"]


def test_parts_of_an_answer_become_one() -> None:
    entries = {"q": user(None, "q"), "t": Entry("q", "ai", reasoning=["hm"], at=1.0), "a": ai("t", "a", model="x")}
    entries |= {"tool": Entry("a"), "b": ai("tool", "b", at=2.0)}
    [_, answer] = grown(entries, "b")
    assert (answer.message, answer.reasoning, answer.model, answer.at) == ("a\n\nb", "hm", "x", 1.0)


def test_an_answer_that_forks_begins_the_same_in_each_version() -> None:
    entries = {"q": user(None, "q"), "a": ai("q", "a"), "b": ai("a", "b", place=0), "c": ai("a", "c", place=1)}
    assert drawn(grown(entries, "b")) == ["q<*", "a\n\nb<q*", "a\n\nc<q"]


@pytest.mark.parametrize(
    ("current", "shown"),
    [
        ("r", ["q<*", "a<q*", "a\n\nb<q", "r<a*"]),
        ("b", ["q<*", "a<q", "a\n\nb<q*", "r<a*"]),
    ],
)
def test_an_answer_that_goes_on_and_is_asked_about_stands_beside_itself(current: str, shown: list[str]) -> None:
    entries = {"q": user(None, "q"), "a": ai("q", "a"), "b": ai("a", "b"), "r": user("a", "r")}
    assert drawn(grown(entries, current)) == shown


def test_a_greeting_gets_a_question_to_stand_below() -> None:
    entries = {"a": ai(None, "hello"), "b": ai(None, "hi"), "question": user("a", "?")}
    assert drawn(grown(entries, "question")) == ["…<*", "hello<…*", "hi<…", "?<hello*"]
    beside = {"q": user(None, "q", at=2.0), "a": ai(None, "hello", at=1.0)}
    assert drawn(grown(beside, "q")) == ["…<", "hello<…*", "q<*"]


def test_a_question_knows_its_answer() -> None:
    question, answer = grown({"q": user(None), "a": ai("q")})
    assert question.run == answer.id


@pytest.mark.parametrize(
    "entries",
    [
        {"a": user("a")},
        {"a": user("b"), "b": user("a")},
        {"a": user("h"), "h": Entry("a")},
        {"a": user("h"), "h": Entry("i"), "i": Entry("h")},
        {"a": user("b"), "b": user("c"), "c": user("d"), "d": user("b")},
        {"a": user("nowhere")},
    ],
)
def test_circles_and_missing_parents_are_mended(entries: dict[str, Entry]) -> None:
    shown = sum(entry.role is not None for entry in entries.values())
    messages = grown(entries, "a")
    assert len(messages) == shown
    assert messages[0].parent_id is None


names = st.sampled_from("abcdefghij")
entries = st.builds(
    Entry,
    parent=st.none() | names,
    role=st.sampled_from([None, "user", "ai"]),
    text=st.lists(st.text(max_size=3), min_size=1, max_size=2),
    at=st.none() | st.floats(0, 1e10),
    place=st.integers(0, 3),
)


@settings(max_examples=60)
@given(st.dictionaries(names, entries), st.none() | names)
def test_whatever_comes_a_tree_comes_out(told: dict[str, Entry], current: str | None) -> None:
    try:
        messages = grown(told, current)
    except BadConversation:
        assert all(entry.role is None for entry in told.values())
        return
    roles: dict[str | None, str] = {None: ""}
    selected: set[str | None] = set()
    for message in messages:
        assert message.parent_id in roles, "Parents come before their children."
        assert message.id not in roles
        assert message.role == "user" or roles[message.parent_id] == "user", "Every answer has a question."
        roles[message.id] = message.role
        if message.selected:
            assert message.parent_id not in selected, "One child is selected."
            selected.add(message.parent_id)
    assert {message.parent_id for message in messages} == selected, "Every branching has a selected child."


def test_a_long_chain_takes_time_that_grows_with_it() -> None:
    for link in (user, ai, lambda parent: Entry(parent)):
        chain = {str(number): link(str(number - 1)) for number in range(1, 5_000)} | {"0": user(None)}
        began = time.process_time()
        grown(chain, "4999")
        assert time.process_time() - began < 5


def test_answers_that_fork_again_and_again_are_refused_before_memory_is_full() -> None:
    forks = {"q": user(None), "0": ai("q", "x" * 80_000)}
    for number in range(1, 2_000):
        forks[str(number)] = ai(str(number - 1), "y")
        forks[f"leaf {number}"] = ai(str(number - 1), "z")
    with pytest.raises(BadConversation, match="memory"):
        grown(forks)


def test_too_many_messages_are_refused() -> None:
    with pytest.raises(BadConversation, match="50,000"):
        grown({str(number): Entry(None) for number in range(MAX_MESSAGES + 1)})
