"""A text's continuation, a token an event: as many events as tokens, and their texts joined are the answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from backends.base import Done, Event, Params, Progress, Reasoning, Text
from server.bodies import read_body
from server.generation import GenerateRequest, Tokens, failure


def asked(**fields: object) -> GenerateRequest:
    return read_body(GenerateRequest, json.dumps({"prompt": "Go", **fields}).encode())


def told(*events: Event) -> list[dict[str, object]]:
    tokens = Tokens()
    return [json.loads(line) for event in events for line in tokens.events(event)]


def test_a_prompt_is_all_it_takes() -> None:
    assert asked().model_name == ""
    assert asked().sampling() == Params(temperature=1.0, top_p=1.0, top_k=0, max_tokens=128)


def test_a_model_and_how_to_sample_may_be_named() -> None:
    request = asked(model="echo/echo", params={"max_tokens": 3, "temperature": 0, "stop": "END", "seed": 7, "n": 1})
    assert request.model_name == "echo/echo"
    assert request.sampling() == Params(0.0, 1.0, 0, max_tokens=3, stop=("END",), seed=7)
    assert asked(params={"stop": ["a", "b"]}).sampling().stop == ("a", "b")
    assert asked(model="default").model_name == ""


@pytest.mark.parametrize("field", ["model", "params"])
def test_null_is_as_good_as_leaving_a_field_out(field: str) -> None:
    assert asked(**{field: None}) == asked()
    assert asked(params={"max_tokens": None}).sampling() == asked().sampling()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"prompt": " "}, "prompt: Prompt cannot be empty"),
        ({"prompt": 7}, "prompt: Input should be a valid string"),
        ({"max_tokens": 5}, "max_tokens belongs into params"),
        ({"speed": 5}, "There is no field speed here. Leave it out"),
        ({"params": {"speed": 5}}, "There is no field params.speed here. Leave it out"),
        ({"params": {"max_tokens": 0}}, "params.max_tokens: Input should be greater than or equal to 1"),
        ({"params": {"n": 2}}, "params.n: Input should be 1"),
        ({"params": {"stream": False}}, "params.stream: Input should be True"),
        ({"params": [1]}, "params: "),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(HTTPException) as refused:
        asked(**fields)
    assert refused.value.status_code == 422
    assert refused.value.detail.startswith(complaint)


def test_each_token_has_its_event_and_its_number() -> None:
    assert told(Text("so ", (1,)), Text("on"), Done("stop")) == [
        {"token": "so ", "index": 0},
        {"token": "on", "index": 1},
        {"done": True, "total_tokens": 2},
    ]


def test_of_several_tokens_that_came_at_once_the_last_has_their_text() -> None:
    assert told(Text("😀", (1, 2, 3)), Done("stop")) == [
        {"token": "", "index": 0},
        {"token": "", "index": 1},
        {"token": "😀", "index": 2},
        {"done": True, "total_tokens": 3},
    ]


def test_what_is_no_text_has_no_event() -> None:
    assert told(Progress("prefill", 1, 2), Reasoning("Hm", (1,))) == []


def test_half_a_character_waits_for_the_other_half() -> None:
    lines = told(Text("\ud83d", (1,)), Text("\ude00!", (2,)), Done("stop"))
    assert [line.get("token") for line in lines[:2]] == ["", "😀!"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 4))))
def test_the_tokens_joined_are_the_text_and_are_counted(pieces: list[tuple[str, int]]) -> None:
    *tokens, done = told(*(Text(text, tuple(range(count))) for text, count in pieces), Done("length"))
    assert "".join(str(token["token"]) for token in tokens) == "".join(text for text, _ in pieces)
    assert [token["index"] for token in tokens] == list(range(len(tokens)))
    assert done["total_tokens"] == len(tokens)


def test_a_failure_is_an_event_too() -> None:
    assert json.loads(failure('It "broke".\n')) == {"error": 'It "broke".\n'}
