"""What a chat asks for reaches the backend, or is refused by its name."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import GenerationRequest, Message, Params
from server.openai.chat import ChatRequest
from server.openai.errors import BadRequest
from server.openai.requests import read_request

HELLO = {"role": "user", "content": "hello"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CLOCK = {"type": "function", "function": {"name": "clock"}}
CHOSEN_CLOCK = CLOCK  # to choose a function is to name it
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def read(**body: Any) -> ChatRequest:
    return read_request(ChatRequest, json.dumps({"messages": [HELLO], **body}).encode())


def asked(**body: Any) -> GenerationRequest:
    [request] = read(**body).requests("id", "puppet/toy", "client")
    return request


def refused(**body: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(**body)
    return caught.value


def test_what_is_not_said_has_the_defaults_of_the_api() -> None:
    assert asked() == GenerationRequest(
        request_id="id",
        model="puppet/toy",
        messages=(Message("user", "hello"),),
        params=Params(temperature=1.0, top_p=1.0, top_k=0, max_tokens=None),
        fairness_key="client",
    )


def test_all_that_can_be_said_reaches_the_backend() -> None:
    request = asked(
        temperature=0.5,
        top_p=0.5,
        top_k=7,
        min_p=0.1,
        max_completion_tokens=9,
        stop=["a", "b"],
        seed=3,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        repetition_penalty=1.1,
        logit_bias={"5": -100, "6": 1.5},
        n=2,
        logprobs=True,
        top_logprobs=4,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": SCHEMA}},
        tools=[WEATHER, CLOCK],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="high",
    )
    assert request.params == Params(0.5, 0.5, 7, 0.1, 9, ("a", "b"), 3, 0.5, -0.5, 1.1, ((5, -100), (6, 1.5)))
    assert (request.n, request.logprobs) == (2, 4)
    assert request.response_format == {"type": "json_schema", "schema": SCHEMA}
    assert request.tools == (WEATHER, CLOCK), "they go on as they came"
    assert (request.tool_choice, request.parallel_tool_calls, request.think) == ("required", False, True)


def test_null_is_as_good_as_nothing() -> None:
    fields = set(ChatRequest.model_fields) - {"messages"}
    assert read(**dict.fromkeys(fields)) == read()


def test_what_is_the_callers_own_changes_nothing() -> None:
    own = {"user": "ada", "metadata": {"a": "b"}, "safety_identifier": "x", "prompt_cache_key": "y"}
    assert asked(**own, store=False, service_tier="auto", modalities=["text"]) == asked()


@pytest.mark.parametrize(("said", "think"), [("none", False), ("minimal", True), ("xhigh", True), (None, None)])
def test_whether_to_think_is_the_effort(said: str | None, think: bool | None) -> None:
    assert asked(reasoning_effort=said).think is think


@pytest.mark.parametrize(
    ("said", "logprobs"), [({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 3}, 3)]
)
def test_probabilities_are_asked_for_by_two_fields(said: dict[str, Any], logprobs: int | None) -> None:
    assert asked(**said).logprobs == logprobs


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_limit_has_two_names(field: str) -> None:
    assert asked(**{field: 7}).params.max_tokens == 7


@pytest.mark.parametrize(
    ("said", "form"), [({"type": "text"}, None), ({"type": "json_object"}, {"type": "json_object"}), (None, None)]
)
def test_a_form_without_a_schema_is_a_word(said: Any, form: Any) -> None:
    assert asked(response_format=said).response_format == form


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", "auto"),
        ("none", "none"),
        (None, "auto"),
        ({"type": "function", "function": {"name": "clock"}}, "clock"),
    ],
)
def test_a_choice_is_a_word_or_a_functions_name(said: Any, choice: str) -> None:
    assert asked(tools=[WEATHER, CLOCK], tool_choice=said).tool_choice == choice


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"temperature": 2.5}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": 2}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object", "json_schema": {"name": "x", "schema": {}}}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools.0.function.name"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "function"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": CHOSEN_CLOCK}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"store": True}, "store"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"modalities": ["audio"]}, "modalities.0"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"audio": {}}, "audio"),
        ({"prediction": {}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"prompt": "hello"}, "prompt"),
    ],
)
def test_what_does_not_fit_is_named(body: dict[str, Any], param: str) -> None:
    error = refused(**body)
    assert error.param == param
    assert param.split(".")[0] in error.message


def test_a_function_may_not_be_chosen_by_a_word_of_its_own() -> None:
    tool = {"type": "function", "function": {"name": "auto"}}
    assert refused(tools=[tool], tool_choice=tool).param == "tool_choice"
    assert asked(tools=[tool]).tool_choice == "auto", "offered, it may be called"


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    function = {"name": "f", "parameters": deep(200)}
    assert refused(tools=[{"type": "function", "function": function}]).param == "tools.0.function.parameters"
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": deep(200)}}
    assert "levels deep" in refused(response_format=form).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*ChatRequest.model_fields, "else"]), json_values))
def test_whatever_is_sent_is_read_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequest):
        assert asked(**body).messages
        assert "else" not in body, "something was passed over"
