from typing import Any

import pytest

from backends.base import GenerationRequest, Message, Params, Unsupported
from backends.ollama.asking import build_call, check_supported, sampling_options
from tests.backends.asking import MODEL, QUESTION, WEATHER_TOOL, ask


def body_of(request: GenerationRequest, think: bool | None = None, **options: Any) -> dict[str, Any]:
    return build_call(request, options, think, most_tokens=None).body


def test_a_chat_is_asked_with_its_turns_alone() -> None:
    call = build_call(ask(params=Params()), {}, None, None)
    assert call.path == "/api/chat"
    assert call.body == {
        "model": MODEL,
        "stream": True,
        "messages": [{"role": "user", "content": QUESTION}],
        "options": {
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "repeat_penalty": 1.0,
        },
    }


def test_a_prompt_is_asked_raw() -> None:
    call = build_call(ask(prompt="The sky is"), {}, None, None)
    assert call.path == "/api/generate"
    assert call.body["prompt"] == "The sky is"
    assert call.body["raw"] is True
    assert "messages" not in call.body
    assert build_call(ask(prompt="The sky", resume_text=" is"), {}, None, None).body["prompt"] == "The sky is"


def test_an_answer_that_has_begun_is_the_last_turn() -> None:
    assert body_of(ask(resume_text="The capital"))["messages"] == [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "The capital"},
    ]


def test_options_are_sent_when_they_are_set() -> None:
    penalties = {"presence_penalty": 0.5, "frequency_penalty": -0.5, "repeat_penalty": 1.1}
    params = Params(1.5, 0.5, 7, 0.1, max_tokens=9, stop=("a", "b"), seed=0, **penalties)
    assert sampling_options(params) == {
        "temperature": 1.5,
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "num_predict": 9,
        "stop": ["a", "b"],
        "seed": 0,
        **penalties,
    }


def test_an_answer_without_a_limit_gets_the_models_context_as_one() -> None:
    assert sampling_options(Params(), most_tokens=4096)["num_predict"] == 4096
    assert sampling_options(Params(max_tokens=5), most_tokens=4096)["num_predict"] == 5


def test_the_servers_own_options_go_along() -> None:
    assert body_of(ask(), num_ctx=2048, num_thread=1)["options"] == {
        **sampling_options(ask().params),
        "num_ctx": 2048,
        "num_thread": 1,
    }


@pytest.mark.parametrize("think", [True, False])
def test_thinking_is_said_when_it_is_known(think: bool) -> None:
    assert body_of(ask(), think)["think"] is think
    assert "think" not in body_of(ask())


def test_tools_go_as_they_came() -> None:
    assert body_of(ask(tools=(WEATHER_TOOL,)))["tools"] == [WEATHER_TOOL]


def test_tools_that_must_not_be_called_are_not_shown() -> None:
    assert "tools" not in body_of(ask(tools=(WEATHER_TOOL,), tool_choice="none"))


def test_calls_and_their_answers_are_turns() -> None:
    call = {"id": "call_1", "name": "weather", "arguments": {"city": "Paris"}}
    called = Message("assistant", "", tool_calls=(call,))
    answers = (
        Message("tool", "sunny", tool_call_id="call_1"),
        Message("tool", "noon", name="clock"),
        Message("tool", "?"),
    )
    assert body_of(ask(messages=(called, *answers)))["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Paris"}}}],
        },
        {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "call_1"},
        {"role": "tool", "content": "noon", "tool_name": "clock"},
        {"role": "tool", "content": "?"},
    ]


@pytest.mark.parametrize(
    ("response_format", "sent"),
    [
        (None, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "schema": {"type": "object"}}, {"type": "object"}),
    ],
)
def test_the_form_of_the_answer_is_translated(response_format: dict[str, Any] | None, sent: object) -> None:
    assert body_of(ask(response_format=response_format)).get("format") == sent


@pytest.mark.parametrize(
    "response_format", [{"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "schema": "x"}, {"x": 1}]
)
def test_a_form_that_ollama_does_not_know_is_refused(response_format: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="response_format"):
        body_of(ask(response_format=response_format))


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("n", ask(n=2)),
        ("logprobs", ask(logprobs=0)),
        ("token_ids", ask(token_ids=(1,))),
        ("resume_token_ids", ask(resume_token_ids=(1,))),
        ("logit_bias", ask(params=Params(logit_bias=((1, 2.0),)))),
        ("tool_choice", ask(tools=(WEATHER_TOOL,), tool_choice="required")),
        ("tool_choice", ask(tools=(WEATHER_TOOL,), tool_choice="weather")),
        ("parallel_tool_calls", ask(tools=(WEATHER_TOOL,), parallel_tool_calls=False)),
        ("diffusion", ask(params=Params(diffusion={"steps": 4}))),
        ("tools", ask(prompt="x", tools=(WEATHER_TOOL,))),
    ],
)
def test_what_ollama_has_no_word_for_is_refused_by_name(field: str, request_: GenerationRequest) -> None:
    with pytest.raises(Unsupported, match=field) as refused:
        check_supported(request_)
    assert refused.value.field == field
