"""Every field of a request is done, or refused by its name."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.openai.completions import CompletionRequest
from server.openai.errors import BadRequest
from server.openai.requests import read_request


def read(body: object) -> CompletionRequest:
    return read_request(CompletionRequest, json.dumps(body).encode())


def refused(body: object) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(body)
    return caught.value


def test_what_is_not_said_has_the_defaults_of_the_api() -> None:
    asked = read({"prompt": "hello"})
    params = asked.params(asked.max_tokens)
    assert (params.max_tokens, params.temperature, params.top_p) == (16, 1.0, 1.0)
    assert (params.top_k, params.min_p, params.stop, params.seed) == (0, 0.0, (), None), "nothing is cut off"
    assert (asked.model_name, asked.stream, asked.include_usage) == ("", False, False)


def test_all_that_can_be_said_is_passed_on() -> None:
    asked = read(
        {
            "model": "echo/echo",
            "prompt": "hello",
            "max_tokens": 5,
            "temperature": 0,
            "top_p": 0.5,
            "top_k": 7,
            "seed": 2**63 - 1,
            "stop": ["\n", "END"],
            "n": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )
    params = asked.params(asked.max_tokens)
    assert (params.max_tokens, params.temperature, params.top_p, params.top_k) == (5, 0, 0.5, 7)
    assert (params.seed, params.stop) == (2**63 - 1, ("\n", "END"))
    assert (asked.model_name, asked.prompt, asked.stream, asked.include_usage) == ("echo/echo", ["hello"], True, True)


def test_null_is_as_good_as_nothing() -> None:
    fields = set(CompletionRequest.model_fields) - {"prompt"}
    assert read({"prompt": "a", **dict.fromkeys(fields)}) == read({"prompt": "a"})


@pytest.mark.parametrize("name", ["default", "", None])
def test_who_does_not_care_gets_the_current_model(name: str | None) -> None:
    assert read({"prompt": "a", "model": name}).model_name == ""


def test_one_stop_string_is_a_list_of_one() -> None:
    assert read({"prompt": "a", "stop": "END"}).stop == ["END"]


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("prompt", None, "prompt"),
        ("prompt", "", "prompt"),
        ("prompt", 3, "prompt"),
        ("prompt", [], "prompt"),
        ("prompt", ["a", ""], "prompt"),
        ("prompt", ["a", 1], "prompt"),
        ("prompt", [1, -1], "prompt"),
        ("prompt", [True], "prompt"),
        ("prompt", [[1], []], "prompt"),
        ("prompt", ["a"] * 129, "prompt"),
        ("model", 3, "model"),
        ("model", "x" * 257, "model"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", -1, "max_tokens"),
        ("max_tokens", "50", "max_tokens"),
        ("max_tokens", 2.5, "max_tokens"),
        ("max_tokens", 10**30, "max_tokens"),
        ("temperature", 2.1, "temperature"),
        ("temperature", -0.1, "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", 1.1, "top_p"),
        ("top_k", -1, "top_k"),
        ("seed", -1, "seed"),
        ("seed", 2**63, "seed"),
        ("stop", 3, "stop"),
        ("stop", "", "stop.0"),
        ("stop", ["a", ""], "stop.1"),
        ("stop", ["a"] * 17, "stop"),
        ("n", 0, "n"),
        ("n", 11, "n"),
        ("min_p", 1.1, "min_p"),
        ("presence_penalty", 2.1, "presence_penalty"),
        ("frequency_penalty", -2.1, "frequency_penalty"),
        ("repetition_penalty", 0, "repetition_penalty"),
        ("repetition_penalty", 9.9e-260, "repetition_penalty"),
        ("logit_bias", {"a": 1}, "logit_bias.a"),
        ("logit_bias", {"1": 101}, "logit_bias.1"),
        ("logprobs", True, "logprobs"),
        ("logprobs", 21, "logprobs"),
        ("suffix", "the end", "suffix"),
        ("best_of", 2, "best_of"),
        ("user", 3, "user"),
        ("stream", "yes", "stream"),
        ("stream_options", True, "stream_options"),
        ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
        ("stream_options", {"include_obfuscation": True}, "stream_options.include_obfuscation"),
        ("stream_options", {"include_usage": True}, "stream_options"),
    ],
)
def test_what_does_not_fit_is_named(field: str, value: object, param: str) -> None:
    error = refused({"prompt": "a", field: value})
    assert error.param == param
    assert param in error.message
    assert "Value error" not in error.message


@pytest.mark.parametrize("field", ["functions", "top_logprobs", "tools", "messages", "prompt "])
@pytest.mark.parametrize("value", [None, 0, "x"])
def test_a_field_that_there_is_not_is_named_whatever_it_says(field: str, value: object) -> None:
    error = refused({"prompt": "a", field: value})
    assert (error.param, error.code) == (field, "unknown_parameter")
    assert field in error.message


def test_a_long_name_is_not_repeated_at_length() -> None:
    assert len(refused({"prompt": "a", "x" * 10_000: 1}).message) < 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'"hello"',
        b"null",
        b"prompt=hello",
        b"\xff\xfe",
        b"[" * 9999,
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a", "temperature": NaN}',
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="JSON"):
        read_request(CompletionRequest, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*CompletionRequest.model_fields, "else"]), json_values) | json_values)
def test_whatever_is_sent_is_read_or_refused(body: object) -> None:
    known = isinstance(body, dict) and "else" not in body and "prompt" in body
    with contextlib.suppress(BadRequest):
        assert read(body).prompt
        assert known, "something was passed over"
