"""The messages of a chat are shown to the model in its own terms, or refused by their place."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Message
from server.openai.chat import ChatRequest
from server.openai.errors import BadRequest
from server.openai.requests import read_request

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}

DEEP = '{"a":' * 70 + "1" + "}" * 70


def shown(*messages: Any) -> tuple[Message, ...]:
    body = json.dumps({"messages": messages}).encode()
    [request] = read_request(ChatRequest, body).requests("id", "toy", "client")
    return request.messages or ()


def refused(*messages: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        shown(*messages)
    return caught.value


@pytest.mark.parametrize(
    ("role", "meant"), [("system", "system"), ("developer", "system"), ("user", "user"), ("assistant", "assistant")]
)
def test_every_role_is_known(role: str, meant: str) -> None:
    assert [(each.role, each.content) for each in shown({"role": role, "content": "hi"})] == [(meant, "hi")]


def test_the_parts_of_a_text_are_its_lines() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert shown({"role": "user", "content": parts})[0].content == "one\ntwo"


def test_a_name_goes_along() -> None:
    assert shown({"role": "user", "content": "hi", "name": "ada"})[0].name == "ada"


def test_calls_and_their_answers_go_along() -> None:
    called, answered = shown(
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    )
    assert called == Message(
        "assistant", "", tool_calls=({"id": "call_1", "name": "weather", "arguments": {"city": "Paris"}},)
    )
    assert answered == Message("tool", "sunny", tool_call_id="call_1")


def test_an_answer_of_ours_can_be_sent_back_as_it_came() -> None:
    answer = {"role": "assistant", "content": "so", "refusal": None, "reasoning": "hm", "reasoning_content": "hm"}
    left_by_clients = {"annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    assert shown({**answer, **left_by_clients}) == (Message("assistant", "so"),), "what it thought is not shown again"


def test_what_a_model_refused_with_is_its_text() -> None:
    parts = [{"type": "refusal", "refusal": "I cannot."}]
    assert shown({"role": "assistant", "content": parts})[0].content == "I cannot."
    assert shown({"role": "assistant", "content": None, "refusal": "No."})[0].content == "No."


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
def test_what_is_no_text_is_refused_by_its_place(kind: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": kind, kind: {}}]
    error = refused({"role": "user", "content": "hi"}, {"role": "user", "content": parts})
    assert (error.param, error.code) == ("messages.1.content.1", "unsupported_parameter")
    assert kind in error.message


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({}, "messages.0"),
        ({"role": "robot", "content": "hi"}, "messages.0"),
        ({"role": "function", "content": "hi", "name": "f"}, "messages.0"),
        ({"role": "user"}, "messages.0.content"),
        ({"role": "user", "content": 3}, "messages.0.content"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages.0.content.0.text"),
        ({"role": "user", "content": [{"text": "hi"}]}, "messages.0.content.0.type"),
        ({"role": "user", "content": ["hi"]}, "messages.0.content.0"),
        ({"role": "user", "content": "hi", "tool_calls": []}, "messages.0.tool_calls"),
        ({"role": "tool", "content": "hi"}, "messages.0.tool_call_id"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages.0.audio"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages.0.function_call"),
        ("hi", "messages.0"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(message: Any, param: str) -> None:
    error = refused(message)
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", '"x"', 3, {"city": "Paris"}, "[" * 9999, '{"a":' * 70 + "1" + "}" * 70]
)
def test_arguments_that_are_no_object_as_a_string_are_refused(arguments: Any) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    error = refused({"role": "assistant", "tool_calls": [call]})
    assert error.param == "messages.0.tool_calls.0.function.arguments"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "id"]), inner),
    max_leaves=8,
)
fields = st.sampled_from(["role", "content", "name", "tool_calls", "tool_call_id", "refusal"])
roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])


@given(st.dictionaries(fields, json_values), roles)
def test_whatever_a_message_holds_is_read_or_refused(message: dict[str, Any], role: str) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(shown({**message, "role": role})[0].content, str)
