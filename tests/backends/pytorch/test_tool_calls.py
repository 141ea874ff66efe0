from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Done, Event, Progress, Text, TokenLogprob, ToolCalls, Usage
from backends.pytorch.tool_calls import CallReader, with_calls

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": [1, "né"]}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
MARKED = '<tool_call>\n{"name": "f", "arguments": {"a": "</tool_call> <tool_call>"}}\n</tool_call>'
CALLED, AND_OTHER = ("f", {"a": [1, "né"]}), ("g", {})


def read(*texts: str) -> tuple[str, list[tuple[str, object]]]:
    """The words joined and the calls of an answer that comes in these pieces."""
    reader = CallReader()
    pieces = [piece for text in texts for piece in reader.feed(Text(text))] + [*reader.finish()]
    words = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    calls = [call for piece in pieces if isinstance(piece, ToolCalls) for call in piece.calls]
    return words, [(call["name"], call["arguments"]) for call in calls]


ANSWERS = [
    ("", "", []),
    ("  no call \n", "  no call \n", []),
    (CALL, "", [CALLED]),
    (f"\n{CALL}\n{OTHER}\n", "", [CALLED, AND_OTHER]),
    (f"I look.\n{CALL}", "I look.", [CALLED]),
    (f"{MARKED}\n{OTHER}", "", [("f", {"a": "</tool_call> <tool_call>"}), AND_OTHER]),
    (f"</tool_call> first {CALL} then", "</tool_call> first then", [CALLED]),
    ("a < b <tool <tool_call", "a < b <tool <tool_call", []),
    ('cut <tool_call>\n{"name": "f", "argum', 'cut <tool_call>\n{"name": "f", "argum', []),
    (f'{CALL}\n<tool_call>\n{{"name', "", [CALLED]),
    ("<tool_call>no JSON</tool_call> x", "<tool_call>no JSON</tool_call> x", []),
    ('<tool_call>{"name": 5, "arguments": {}}</tool_call>', '<tool_call>{"name": 5, "arguments": {}}</tool_call>', []),
]


@pytest.mark.parametrize(("answer", "words", "calls"), ANSWERS)
def test_calls_are_told_from_words(answer: str, words: str, calls: list[object]) -> None:
    assert read(answer) == (words, calls)
    assert read(*answer) == (words, calls), "a character a piece"


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 120)))
def test_it_does_not_matter_where_an_answer_is_cut(
    asked: tuple[str, str, list[tuple[str, object]]], cuts: list[int]
) -> None:
    answer, words, calls = asked
    places = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    assert read(*(answer[start:stop] for start, stop in pairwise(places))) == (words, calls)


def test_every_call_has_an_id_of_its_own() -> None:
    pieces = [piece for piece in CallReader().feed(Text(CALL + OTHER + CALL)) if isinstance(piece, ToolCalls)]
    ids = [call["id"] for piece in pieces for call in piece.calls]
    assert len(set(ids)) == 3
    assert all(name.startswith("call_") for name in ids)


def test_words_come_as_soon_as_they_are_certain() -> None:
    reader = CallReader()
    assert [piece.text for piece in reader.feed(Text("Hello")) if isinstance(piece, Text)] == ["Hello"]
    assert not list(reader.feed(Text(" ")))
    assert [piece.text for piece in reader.feed(Text("you <b")) if isinstance(piece, Text)] == [" you <b"]


def test_tokens_and_their_probabilities_go_with_the_words() -> None:
    def piece(text: str, token: int) -> Text:
        return Text(text, (token,), (TokenLogprob(token, text, text.encode(), -1.0),))

    reader = CallReader()
    given = [piece("Hi", 1), piece(" <tool", 2), piece("s>", 3), piece("\n", 4), piece(CALL, 5)]
    texts = [one for text in given for one in reader.feed(text) if isinstance(one, Text)]
    assert [(text.text, text.token_ids) for text in texts] == [("Hi", (1,)), (" <tools>", (2, 3))]
    assert [len(text.logprobs or ()) for text in texts] == [1, 2]


def test_each_choice_ends_for_its_own_reason() -> None:
    async def events() -> AsyncGenerator[Event, None]:
        usage = Usage(5, 0, 9)
        yield Progress("prefill", 5, 5)
        for index, text in enumerate((CALL, "words", CALL, CALL[:-3])):
            yield Text(text, index=index)
        for index, reason in enumerate(("stop", "stop", "length", "length")):
            yield Done(reason, usage, index=index)  # type: ignore[arg-type]

    async def collect() -> list[Event]:
        return [event async for event in with_calls(events())]

    got = asyncio.run(collect())
    assert [event.finish_reason for event in got if isinstance(event, Done)] == [
        "tool_calls",
        "stop",
        "length",
        "length",
    ]
    assert [event.index for event in got if isinstance(event, ToolCalls)] == [0, 2]
    assert {event.text for event in got if isinstance(event, Text)} == {"words", CALL[:-3]}
    assert isinstance(got[0], Progress)
