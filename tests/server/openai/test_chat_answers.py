"""Chats are worded as the official client reads them, whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion as TheirCompletion
from openai.types.chat import ChatCompletionChunk as TheirChunk

from backends.base import Done, Event, Progress, Reasoning, Text, TokenLogprob, ToolCalls, Usage
from server.openai.answers import Head
from server.openai.chat_answers import ChatForm

HEAD = Head("1", 1_700_000_000, "echo/echo")
DONE = Done("stop", Usage(prompt_tokens=7, cached_tokens=4, completion_tokens=3))
CALLS = ToolCalls(
    (
        {"id": "call_1", "name": "weather", "arguments": {"city": "Kraków"}},
        {"id": "call_2", "name": "time", "arguments": {}},
    )
)
CALLED = Done("tool_calls")


def whole(*events: Event, n: int = 1) -> TheirCompletion:
    form = ChatForm(HEAD, n)
    for event in events:
        form.take(event)
    return TheirCompletion.model_validate_json(form.whole(), strict=True)


def stream(*events: Event, n: int = 1, include_usage: bool = False) -> list[Any]:
    form = ChatForm(HEAD, n, include_usage)
    pieces = [*(piece for event in events for piece in form.pieces(event)), *form.rest()]
    assert all(TheirChunk.model_validate_json(piece, strict=True).created for piece in pieces)
    return [json.loads(piece) for piece in pieces]


def deltas(pieces: list[Any], index: int = 0) -> list[Any]:
    return [choice["delta"] for piece in pieces for choice in piece["choices"] if choice["index"] == index]


def test_a_whole_answer_is_what_the_official_client_reads() -> None:
    read = whole(Progress("prefill"), Text("so "), Text("on"), DONE)
    assert (read.id, read.created, read.model, read.object) == (
        "chatcmpl-1",
        1_700_000_000,
        "echo/echo",
        "chat.completion",
    )
    [choice] = read.choices
    assert (choice.index, choice.message.role, choice.message.content) == (0, "assistant", "so on")
    assert (choice.finish_reason, choice.logprobs, choice.message.tool_calls) == ("stop", None, None)
    assert read.usage is not None
    assert read.usage.prompt_tokens_details is not None
    assert (read.usage.total_tokens, read.usage.prompt_tokens_details.cached_tokens) == (10, 4)


def test_a_stream_begins_with_the_role_and_ends_with_an_empty_piece() -> None:
    pieces = stream(Progress("prefill"), Text("so "), Text("on"), Done("length"))
    assert deltas(pieces) == [{"role": "assistant", "content": ""}, {"content": "so "}, {"content": "on"}, {}]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None, None, None, "length"]
    assert {(piece["id"], piece["object"]) for piece in pieces} == {("chatcmpl-1", "chat.completion.chunk")}
    assert all("usage" not in piece for piece in pieces)


def test_the_usage_comes_last_without_choices_and_is_null_before() -> None:
    *pieces, last = stream(Text("so"), DONE, include_usage=True)
    assert [piece["usage"] for piece in pieces] == [None, None, None]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)


def test_an_answer_of_nothing_is_an_empty_one() -> None:
    assert whole(DONE).choices[0].message.content == ""
    assert deltas(stream(DONE)) == [{"role": "assistant", "content": ""}, {}]


def test_thinking_stands_under_both_of_its_names() -> None:
    message = json.loads(whole(Reasoning("h"), Reasoning("m"), Text("so"), DONE).model_dump_json())["choices"][0][
        "message"
    ]
    assert (message["reasoning"], message["reasoning_content"], message["content"]) == ("hm", "hm", "so")
    assert deltas(stream(Reasoning("hm"), Text("so"), DONE))[1] == {"reasoning": "hm", "reasoning_content": "hm"}


def test_calls_are_told_with_their_arguments_as_a_string() -> None:
    [choice] = whole(CALLS, CALLED).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = choice.message.tool_calls or []
    assert [(call.id, call.type) for call in calls] == [("call_1", "function"), ("call_2", "function")]
    assert [json.loads(call.function.arguments) for call in calls if call.type == "function"] == [
        {"city": "Kraków"},
        {},
    ]


def test_calls_in_a_stream_come_whole_and_have_places() -> None:
    pieces = stream(Text("Let me see."), CALLS, ToolCalls(CALLS.calls[:1]), CALLED)
    calls = [call for delta in deltas(pieces) for call in delta.get("tool_calls", ())]
    assert [(call["index"], call["id"], call["function"]["name"]) for call in calls] == [
        (0, "call_1", "weather"),
        (1, "call_2", "time"),
        (2, "call_1", "weather"),
    ]
    assert pieces[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_several_answers_have_places_of_their_own() -> None:
    events = (Text("a", index=1), Text("b", index=0), Done("length", index=1), Done("stop", index=0))
    read = whole(*events, n=2)
    assert [(each.index, each.message.content, each.finish_reason) for each in read.choices] == [
        (0, "b", "stop"),
        (1, "a", "length"),
    ]
    for index, text in ((0, "b"), (1, "a")):
        assert deltas(stream(*events, n=2), index) == [{"role": "assistant", "content": ""}, {"content": text}, {}]


def test_probabilities_are_told_token_by_token() -> None:
    other = TokenLogprob(2, "no", b"no", -1.5)
    tokens = (TokenLogprob(1, "s", b"s", -0.5, (other,)), TokenLogprob(3, "�", b"\xc3", float("-inf")))
    logprobs = whole(Text("s", logprobs=tokens), Text("o", logprobs=(other,)), DONE).choices[0].logprobs
    assert logprobs is not None
    content = logprobs.content or []
    assert [(token.token, token.logprob, token.bytes) for token in content] == [
        ("s", -0.5, [115]),
        ("�", -9999.0, [0xC3]),
        ("no", -1.5, [110, 111]),
    ]
    assert [(top.token, top.logprob) for top in content[0].top_logprobs] == [("no", -1.5)]
    piece = stream(Text("s", logprobs=tokens), DONE)[1]
    assert len(piece["choices"][0]["logprobs"]["content"]) == 2
