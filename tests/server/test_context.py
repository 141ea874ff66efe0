from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Message, TokenCount
from server.context import Context, Turn, fit, turns
from server.node import GrowingText, Node


def turn(number: int, length: int = 10) -> Turn:
    messages = (Message("user", "q" * length), Message("assistant", "a" * length))
    return Turn((f"q{number}", f"a{number}"), messages)


def fitted(history: list[Turn], room: int | None, system: str = "s", question: str = "?") -> tuple[Context, int]:
    """The context, one character a token, and how often it was counted."""
    counts = 0

    async def count(messages: tuple[Message, ...]) -> TokenCount:
        nonlocal counts
        counts += 1
        return TokenCount(sum(len(message.content) for message in messages), exact=True)

    return asyncio.run(fit(system, history, question, room, count)), counts


def test_everything_is_shown_when_it_fits():
    context, counts = fitted([turn(0), turn(1)], 42)
    assert [message.role for message in context.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert (context.dropped, context.count, counts) == ((), TokenCount(42, exact=True), 1)


def test_without_a_known_bound_nothing_is_counted():
    context, counts = fitted([turn(number) for number in range(100)], None)
    assert (len(context.messages), context.count, counts) == (202, None, 0)


def test_without_a_system_prompt_there_is_no_system_message():
    context, _ = fitted([], None, system="")
    assert [message.role for message in context.messages] == ["user"]


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(0, 300))
def test_as_few_of_the_oldest_turns_are_dropped_as_it_takes(lengths: list[int], room: int):
    history = [turn(number, length) for number, length in enumerate(lengths)]
    context, counts = fitted(history, room)
    dropped = len(context.dropped) // 2
    assert context.dropped == tuple(identity for each in history[:dropped] for identity in each.ids)
    assert context.messages[0].role == "system"
    assert context.messages[-1] == Message("user", "?")

    def size(number: int) -> int:
        return 2 + sum(2 * length for length in lengths[number:])

    assert size(dropped) <= room or dropped == len(history)
    assert dropped == 0 or size(dropped - 1) > room, "one turn too many was dropped"
    assert counts <= 2 + len(history).bit_length(), "counting must not grow with the history"


def test_counting_costs_by_what_fits_and_not_by_what_was_ever_said():
    counted = 0

    async def count(messages: tuple[Message, ...]) -> TokenCount:
        nonlocal counted
        letters = sum(len(message.content) for message in messages)
        counted += letters
        return TokenCount(letters // 4, exact=True)

    context = asyncio.run(fit("s", [turn(number, 50) for number in range(2000)], "?", 500, count))
    assert len(context.messages) == 2 + 2 * 20
    assert counted < 40_000, "of 200,000 letters some 2,000 fit"


def test_a_question_too_long_by_itself_is_shown_all_the_same():
    context, _ = fitted([turn(0)], 5, question="?" * 100)
    assert [message.content for message in context.messages] == ["s", "?" * 100]


@pytest.mark.parametrize(("answer", "shown"), [("Yes", 1), ("", 0)])
def test_a_question_without_any_answer_is_no_turn(answer: str, shown: int):
    path = [Node("q", "user", None, GrowingText("Well?")), Node("a", "ai", "q", GrowingText(answer))]
    assert len(turns(path)) == shown
