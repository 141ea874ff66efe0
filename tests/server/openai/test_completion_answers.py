"""Completions are worded as the official client reads them, whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

from openai.types import Completion as TheirCompletion

from backends.base import Done, Event, Reasoning, Text, TokenLogprob, Usage
from server.openai.answers import Head
from server.openai.completion_answers import CompletionForm

HEAD = Head("1", 1_700_000_000, "echo/echo")
DONE = Done("length", Usage(prompt_tokens=7, cached_tokens=4, completion_tokens=3))


def whole(form: CompletionForm, *events: Event) -> TheirCompletion:
    for event in events:
        form.take(event)
    return TheirCompletion.model_validate_json(form.whole(), strict=True)


def stream(form: CompletionForm, *events: Event) -> list[Any]:
    pieces = [piece for event in events for piece in form.pieces(event)]
    return [json.loads(piece) for piece in [*pieces, *form.rest()]]


def test_a_whole_answer_is_what_the_official_client_reads() -> None:
    read = whole(CompletionForm(HEAD, [""], n=1), Text("so "), Reasoning("hm"), Text("on"), DONE)
    assert (read.id, read.created, read.model, read.object) == ("cmpl-1", 1_700_000_000, "echo/echo", "text_completion")
    assert [(choice.index, choice.text, choice.finish_reason) for choice in read.choices] == [(0, "so on", "length")]
    assert read.usage is not None
    assert (read.usage.prompt_tokens, read.usage.completion_tokens, read.usage.total_tokens) == (7, 3, 10)
    assert read.usage.prompt_tokens_details is not None
    assert read.usage.prompt_tokens_details.cached_tokens == 4


def test_pieces_have_one_form_and_only_the_last_has_a_reason() -> None:
    pieces = stream(CompletionForm(HEAD, [""], n=1), Text("so "), Text("on"), Done("stop"))
    assert [(piece["choices"][0]["text"], piece["choices"][0]["finish_reason"]) for piece in pieces] == [
        ("so ", None),
        ("on", None),
        ("", "stop"),
    ]
    assert {(piece["id"], piece["created"], piece["model"], piece["object"]) for piece in pieces} == {
        ("cmpl-1", 1_700_000_000, "echo/echo", "text_completion")
    }
    assert all("usage" not in piece for piece in pieces)


def test_the_usage_comes_without_choices_and_is_null_before() -> None:
    *pieces, last = stream(CompletionForm(HEAD, [""], n=1, include_usage=True), Text("so"), DONE)
    assert [piece["usage"] for piece in pieces] == [None, None]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 10)


def test_choices_of_one_prompt_share_it_and_those_of_several_prompts_do_not() -> None:
    ends = [Done("stop", Usage(10, 8, 3), index=index) for index in (3, 0, 2, 1)]
    read = whole(CompletionForm(HEAD, [""] * 4, n=2), *ends)
    assert read.usage is not None
    assert (read.usage.prompt_tokens, read.usage.completion_tokens) == (20, 12)
    assert [choice.index for choice in read.choices] == [0, 1, 2, 3]


def test_an_echo_stands_before_the_answer_once() -> None:
    events = (Text("b ", index=0), Text("y ", index=1), Text("c", index=0), Done("stop"), Done("stop", index=1))
    assert [choice.text for choice in whole(CompletionForm(HEAD, ["a ", "x "], n=1), *events).choices] == [
        "a b c",
        "x y ",
    ]
    pieces = [piece["choices"][0] for piece in stream(CompletionForm(HEAD, ["a ", "x "], n=1), *events)]
    assert [piece["text"] for piece in pieces if piece["index"] == 0] == ["a ", "b ", "c", ""]


def test_an_echo_without_an_answer_is_the_prompt() -> None:
    assert [piece["choices"][0]["text"] for piece in stream(CompletionForm(HEAD, ["a"], n=1), Done("stop"))] == [
        "a",
        "",
    ]


def token(text: str, logprob: float, *top: TokenLogprob, data: bytes | None = None) -> TokenLogprob:
    return TokenLogprob(1, text, text.encode() if data is None else data, logprob, top)


def test_probabilities_are_lists_with_offsets_into_the_whole_text() -> None:
    form = CompletionForm(HEAD, [""], n=1, logprobs=2)
    events = [
        Text("so ", logprobs=(token("so", -0.5, token("so", -0.5), token("no", -1.0)), token(" ", -0.25))),
        Text("on", logprobs=(token("on", -2.0, token("in", -0.1), token("an", -0.2)),)),
        Done("stop"),
    ]
    read = whole(form, *events).choices[0].logprobs
    assert read is not None
    assert (read.tokens, read.token_logprobs, read.text_offset) == (["so", " ", "on"], [-0.5, -0.25, -2.0], [0, 2, 3])
    assert read.top_logprobs == [{"so": -0.5, "no": -1.0}, {" ": -0.25}, {"in": -0.1, "an": -0.2, "on": -2.0}]
    pieces = stream(CompletionForm(HEAD, [""], n=1, logprobs=2), *events)
    assert [piece["choices"][0]["logprobs"] and piece["choices"][0]["logprobs"]["text_offset"] for piece in pieces] == [
        [0, 2],
        [3],
        None,
    ]


def test_without_alternatives_there_are_none() -> None:
    form = CompletionForm(HEAD, [""], n=1, logprobs=0)
    read = whole(form, Text("a", logprobs=(token("a", -0.5),)), Done("stop")).choices[0].logprobs
    assert read is not None
    assert (read.token_logprobs, read.top_logprobs) == ([-0.5], None)


def test_a_token_within_a_character_begins_where_the_character_does() -> None:
    halves = [token("�", -1.0, data=half) for half in ("é".encode()[:1], "é".encode()[1:])]
    read = whole(
        CompletionForm(HEAD, [""], 1, 0), Text("aé!", logprobs=(token("a", -1), *halves, token("!", -1))), DONE
    )
    assert read.choices[0].logprobs is not None
    assert read.choices[0].logprobs.text_offset == [0, 1, 1, 2]


def test_an_impossible_token_is_told_in_a_number_that_json_has() -> None:
    never = token("a", float("-inf"))
    read = whole(CompletionForm(HEAD, [""], 1, 1), Text("a", logprobs=(token("a", -1.0, never),)), DONE)
    assert read.choices[0].logprobs is not None
    assert read.choices[0].logprobs.top_logprobs == [{"a": -9999.0}]


def test_what_was_known_of_a_prompt_is_what_its_first_reader_knew() -> None:
    ends = [Done("stop", Usage(10, cached, 3), index=index) for index, cached in ((1, 8), (0, 0), (2, 9))]
    usage = whole(CompletionForm(HEAD, [""] * 3, n=3), *ends).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (10, 0)
