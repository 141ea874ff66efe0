"""What an OpenAI-compatible server, or what stands before it, can do wrong, and how the adapter takes it."""

from __future__ import annotations

from typing import Any

import pytest

from backends.base import Backend, BackendFailed, Params, Unsupported
from backends.openai import OpenAIBackend
from tests.backends.asking import (
    ANSWER,
    ask,
    done_of,
    events_of,
    failure_of,
    likeliest,
    text_of,
)
from tests.backends.double import Act, Reply, ServerDouble
from tests.backends.faults import Dialect, Faults
from tests.backends.openai.double import (
    CHAT,
    COMPLETIONS,
    MODEL,
    MODELS,
    STREAM,
    OpenAIDouble,
    refusal,
    trace,
)

RECORDED = trace("llama.cpp/chat_stream")
SHORT = trace("llama.cpp/chat_length")
DEFAULTS = ("temperature", "top_p", "chat_template_kwargs", "reasoning_effort", "top_k")
REASON = b'"finish_reason":"length"'

OPENAI = Dialect(
    double=OpenAIDouble,
    make=OpenAIBackend,
    request=ask(model=MODEL),
    chat=CHAT,
    listing=MODELS,
    answer=RECORDED,
    lead=1,  # the role comes first
    short=SHORT,
    whole_from=SHORT.body.index(b"\n", SHORT.body.index(REASON)),  # the usage and the last word may be missing
    failing=b'data: {"error": {"code": 500, "message": "CUDA error", "type": "server_error"}}\n\n',
    half_tag=b'data: {"choices": [{"index": 0, "delta": {"content": "<thi"}}]}\n\n',
    begun=b'data: {"choices": [{"index": 0, "del',
)
told, with_double = OPENAI.told, OPENAI.with_double


@pytest.fixture
def dialect() -> Dialect:
    return OPENAI


class TestFaults(Faults):
    """Seen through by the adapter to OpenAI-compatible servers."""


def request(**fields: Any) -> Any:
    return ask(**{"model": MODEL, **fields})


# Frames


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way_and_comments_come_between(newline: bytes) -> None:
    body = b": ping\n\n".join(step for step in RECORDED.steps if isinstance(step, bytes)).replace(b"\n", newline)
    answered, error = told(Reply(200, STREAM, [body]))
    assert error is None
    assert text_of(answered) == ANSWER


def test_an_answer_that_is_not_streamed_is_one_all_the_same() -> None:
    answered, error = told(trace("llama.cpp/chat_whole"))
    assert error is None
    assert text_of(answered) == ANSWER
    assert done_of(answered).usage.completion_tokens == 8


def test_comments_are_no_answer() -> None:
    pings = [step for _ in range(40) for step in (b": ping\n\n", 0.02)]
    answered, error = told(Reply(200, STREAM, [*pings, Act.STALL]), first_token_timeout=0.3)
    assert answered == []
    assert error is not None
    assert "did not begin" in error.message


# What a server will not have


def asked_with(*replies: Reply, **fields: Any) -> tuple[str | Exception, list[dict[str, object]]]:
    """What came of a request that was answered by `replies` in turn, and the bodies that were sent."""

    async def main(double: ServerDouble, backend: Backend) -> tuple[str | Exception, list[dict[str, object]]]:
        path = COMPLETIONS if "prompt" in fields else CHAT
        double.will(path, *replies)
        try:
            outcome: str | Exception = text_of(await events_of(backend, request(**fields)))
        except Unsupported as error:
            outcome = error
        return outcome, double.bodies(path)

    return with_double(main)


@pytest.mark.parametrize(
    "refused",
    [
        refusal(400, "Unrecognized request argument supplied: stream_options"),
        refusal(400, "Unknown field.", param="stream_options"),
        Reply(422, "application/json", [b'{"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs"}]}']),
        refusal(400, "property 'stream_options' is unsupported"),
    ],
)
def test_what_nobody_asked_for_is_left_out_where_it_is_refused(refused: Reply) -> None:
    outcome, bodies = asked_with(refused, RECORDED)
    assert outcome == ANSWER
    assert ["stream_options" in body for body in bodies] == [True, False]


def test_what_is_refused_is_not_said_again() -> None:
    async def main(double: ServerDouble, backend: Backend) -> list[bool]:
        double.will(CHAT, refusal(400, "No.", param="stream_options"), RECORDED, RECORDED)
        await events_of(backend, request())
        await events_of(backend, request())
        return ["stream_options" in body for body in double.bodies(CHAT)]

    assert with_double(main) == [True, False, False]


def test_a_limit_goes_by_another_name_where_it_has_to() -> None:
    refused = refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.", param="max_tokens")
    outcome, bodies = asked_with(refused, SHORT, params=likeliest(max_tokens=3))
    assert outcome == "The capital of"
    assert bodies[1]["max_completion_tokens"] == 3
    assert "max_tokens" not in bodies[1]


@pytest.mark.parametrize(
    ("field", "wire", "params"),
    [
        ("top_k", "top_k", Params(top_k=5)),
        ("min_p", "min_p", Params(min_p=0.1)),
        ("seed", "seed", Params(seed=1)),
        ("stop", "stop", Params(stop=("a",))),
        ("temperature", "temperature", Params(temperature=1.5)),
        ("logit_bias", "logit_bias", Params(logit_bias=((1, 5.0),))),
    ],
)
def test_what_was_asked_for_and_is_refused_is_named(field: str, wire: str, params: Params) -> None:
    outcome, bodies = asked_with(refusal(400, f"Unrecognized request argument supplied: {wire}"), params=params)
    assert isinstance(outcome, Unsupported)
    assert outcome.field == field
    assert len(bodies) == 1


def test_defaults_are_left_out_one_after_another() -> None:
    refusals = [refusal(400, "No.", param=name) for name in DEFAULTS]
    outcome, bodies = asked_with(*refusals, RECORDED, params=Params(top_k=0), think=True)
    assert outcome == ANSWER
    assert not {*DEFAULTS} & bodies[-1].keys()


def test_a_penalty_is_asked_for_by_its_other_name() -> None:
    params = Params(repeat_penalty=1.1)
    refused = refusal(400, "Unknown.", param="repeat_penalty")
    outcome, bodies = asked_with(refused, RECORDED, params=params)
    assert outcome == ANSWER
    assert bodies[1]["repetition_penalty"] == 1.1
    outcome, _ = asked_with(refused, refusal(400, "Unknown.", param="repetition_penalty"), params=params)
    assert isinstance(outcome, Unsupported)
    assert outcome.field == "repeat_penalty"


def test_a_chat_model_without_raw_prompts_says_so() -> None:
    refused = refusal(404, "This is a chat model and not supported in the v1/completions endpoint.")
    outcome, _ = asked_with(refused, prompt="The sky is")
    assert isinstance(outcome, Unsupported)
    assert outcome.field == "prompt"


# Who we are


def test_the_key_goes_with_every_request_and_into_no_error() -> None:
    async def main(double: ServerDouble, backend: Backend) -> tuple[set[str], str]:
        double.will(CHAT, refusal(401, "Incorrect API key provided: sesame."))
        error = await failure_of(backend, request())
        return {seen.headers.get("authorization", "") for seen in double.requests}, error.message

    sent, message = with_double(main, key="sesame")
    assert sent == {"Bearer sesame"}
    assert "sesame" not in message
    assert "OPENAI_API_KEY" in message


def test_another_address_is_never_asked() -> None:
    """A redirect would show the key to whoever it leads to."""
    elsewhere = Reply(307, "", [], (("Location", "http://127.0.0.1:9/v1/chat/completions"),))
    _, error = told(elsewhere)
    assert isinstance(error, BackendFailed)
    assert "OPENAI_HOST" in error.message


def test_a_server_that_lists_no_models_has_the_one_that_is_set() -> None:
    async def main(double: ServerDouble, backend: Backend) -> list[str]:
        double.will(MODELS, trace("llama.cpp/err_path"))
        return [info.name for info in await backend.list_models()]

    assert with_double(main, model="mine") == ["mine"]
    with pytest.raises(BackendFailed, match="OPENAI_HOST"):
        with_double(main)
