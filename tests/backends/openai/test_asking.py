from typing import Any

import pytest

from backends.base import GenerationRequest, Message, Params, Unsupported
from backends.openai.asking import build_asking
from backends.openai.models import Facts
from tests.backends.asking import QUESTION, WEATHER_TOOL, ask

PLAIN = Facts("gpt")
OPTIONS = {"include_usage": True}


def body_of(request: GenerationRequest, facts: Facts = PLAIN, refused: frozenset[str] = frozenset()) -> dict[str, Any]:
    return build_asking(request, facts).call(refused).body


def test_a_chat_is_asked_with_its_turns_and_openais_own_fields_alone() -> None:
    call = build_asking(ask(params=Params()), PLAIN).call(frozenset())
    assert call.path == "/chat/completions"
    assert call.body == {
        "model": "gpt",
        "stream": True,
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0.7,
        "top_p": 0.9,
        "stream_options": OPTIONS,
    }


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp"])
def test_servers_that_know_more_are_told_more_as_their_own_defaults_differ(owner: str) -> None:
    body = body_of(ask(params=Params()), Facts("m", owner))
    assert (body["top_k"], body["min_p"]) == (40, 0.0)


def test_a_prompt_and_tokens_are_gone_on_from_as_they_stand() -> None:
    assert body_of(ask(prompt="The sky", resume_text=" is"))["prompt"] == "The sky is"
    assert body_of(ask(token_ids=(1, 2)))["prompt"] == [1, 2]
    assert build_asking(ask(prompt="The sky"), PLAIN).path == "/completions"


@pytest.mark.parametrize(
    ("facts", "limit"),
    [(Facts("m", "vllm", 4096), None), (Facts("m", "pytorch", 4096), 4096), (Facts("m", "llamacpp"), None)],
)
def test_a_prompts_answer_without_a_limit_is_not_cut_at_sixteen_tokens(facts: Facts, limit: int | None) -> None:
    assert body_of(ask(prompt="Once"), facts)["max_tokens"] == limit


def test_every_parameter_goes_by_openais_name() -> None:
    params = Params(
        temperature=1.5,
        top_p=0.5,
        top_k=7,
        min_p=0.1,
        max_tokens=9,
        stop=("a", "b"),
        seed=3,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        repeat_penalty=1.2,
        logit_bias=((5, -100.0),),
    )
    body = body_of(ask(params=params, logprobs=2))
    assert body | {"messages": [], "model": ""} == {
        "model": "",
        "stream": True,
        "messages": [],
        "temperature": 1.5,
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "max_tokens": 9,
        "stop": ["a", "b"],
        "seed": 3,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "repetition_penalty": 1.2,
        "logit_bias": {"5": -100.0},
        "logprobs": True,
        "top_logprobs": 2,
        "stream_options": OPTIONS,
    }


def test_probabilities_of_a_prompts_tokens_are_a_number() -> None:
    assert body_of(ask(prompt="a", logprobs=3))["logprobs"] == 3
    assert "top_logprobs" not in body_of(ask(logprobs=0))


def test_calls_and_answers_of_tools_are_turns() -> None:
    turns = (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=({"id": "a", "name": "get_weather", "arguments": {"city": "Köln"}},)),
        Message("tool", "rain", tool_call_id="a", name="get_weather"),
    )
    function = {"name": "get_weather", "arguments": '{"city": "Köln"}'}
    assert body_of(ask(messages=turns))["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]},
        {"role": "tool", "content": "rain", "tool_call_id": "a", "name": "get_weather"},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ("get_weather", {"type": "function", "function": {"name": "get_weather"}}),
    ],
)
def test_which_tool_to_call_is_a_word_or_its_name(choice: str, sent: object) -> None:
    body = body_of(ask(tools=(WEATHER_TOOL,), tool_choice=choice, parallel_tool_calls=False))
    assert body.get("tool_choice") == sent
    assert body["tools"] == [WEATHER_TOOL]
    assert body["parallel_tool_calls"] is False
    assert body_of(ask(tools=(WEATHER_TOOL["function"],)))["tools"] == [WEATHER_TOOL]


def test_the_form_of_the_answer_is_asked_for_strictly() -> None:
    assert body_of(ask(response_format={"type": "json_object"}))["response_format"] == {"type": "json_object"}
    schema = {"type": "object"}
    shape = body_of(ask(response_format={"type": "json_schema", "schema": schema}))["response_format"]
    assert shape["type"] == "json_schema"
    assert shape["json_schema"]["schema"] == schema
    assert shape["json_schema"]["strict"] is True


def test_whether_to_think_is_said_in_both_ways_or_not_at_all() -> None:
    assert not {"chat_template_kwargs", "reasoning_effort"} & body_of(ask()).keys()
    body = body_of(ask(think=False))
    assert (body["chat_template_kwargs"], body["reasoning_effort"]) == ({"enable_thinking": False}, "none")


@pytest.mark.parametrize(
    ("owner", "extra"),
    [
        ("vllm", {"continue_final_message": True, "add_generation_prompt": False}),
        ("llamacpp", {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
def test_an_answer_that_has_begun_is_the_last_turn_where_the_server_goes_on(owner: str, extra: dict[str, Any]) -> None:
    body = body_of(ask(resume_text="The capital", think=True), Facts("m", owner))
    assert body["messages"][-1] == {"role": "assistant", "content": "The capital"}
    assert extra.items() <= body.items()


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("n", ask(n=2)),
        ("resume_text", ask(resume_text="The")),
        ("resume_text", ask(token_ids=(1,), resume_text="The")),
        ("resume_token_ids", ask(resume_token_ids=(1,))),
        ("tools", ask(prompt="a", tools=(WEATHER_TOOL,))),
        ("response_format", ask(prompt="a", response_format={"type": "json_object"})),
        ("diffusion", ask(params=Params(diffusion={}))),
    ],
)
def test_what_there_is_no_word_for_is_refused_by_name(field: str, request_: GenerationRequest) -> None:
    with pytest.raises(Unsupported, match=field) as refused:
        build_asking(request_, PLAIN)
    assert refused.value.field == field
