"""What an Ollama server, or what stands before it, can do wrong: each ends in one error, with what came before kept."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from backends.base import (
    Backend,
    BackendFailed,
    Event,
    GenerationRequest,
    Progress,
    ToolCalls,
)
from backends.ollama import OllamaBackend
from tests.backends.asking import (
    ANSWER,
    MODEL,
    WEATHER_TOOL,
    ask,
    done_of,
    events_of,
    loadings_of,
    reasoning_of,
    text_of,
)
from tests.backends.double import ServerDouble
from tests.backends.faults import Dialect, Faults
from tests.backends.ollama.double import LOAD, Act, OllamaDouble, Reply, error, lines, trace

CHAT = "/api/chat"
RECORDED = trace("v0.9.3/chat_stream")
SHORT = trace("v0.9.3/chat_length")
NO_MODELS = Reply(200, "application/json", [b'{"models":[]}'])


def backend_at(url: str, **options: Any) -> OllamaBackend:
    return OllamaBackend(url, options={"num_thread": 1}, **options)


OLLAMA = Dialect(
    double=OllamaDouble,
    make=backend_at,
    request=ask(),
    chat=CHAT,
    listing="/api/tags",
    answer=RECORDED,
    lead=0,
    short=SHORT,
    whole_from=len(SHORT.body) - 1,  # the newline at the very end may be missing
    failing=b'{"error": "an error was encountered while running the model"}\n',
    half_tag=b'{"message": {"content": "<thi"}}\n',
    begun=b'{"model":"smollm2:135m","mess',
)
told, with_double = OLLAMA.told, OLLAMA.with_double


@pytest.fixture
def dialect() -> Dialect:
    return OLLAMA


class TestFaults(Faults):
    """Seen through by the adapter to Ollama."""


# However the bytes are cut


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize(
    ("name", "request_", "reasoning", "answer"),
    [
        ("v0.9.3/chat_stream", ask(), "", ANSWER),
        ("v0.5.4/chat_stream", ask(), "", ANSWER),
        ("v0.9.3/think_true", ask(model="thinker"), "capital of France ", "Paris."),
        ("v0.9.3/tools_stream", ask(model="tooler", tools=(WEATHER_TOOL,)), "", ""),
    ],
)
def test_chunks_of_any_size_give_the_same_events(
    name: str, request_: GenerationRequest, reasoning: str, answer: str, size: int
) -> None:
    async def main(double: ServerDouble, backend: Backend) -> tuple[list[Event], list[Event]]:
        double.will(CHAT, trace(name), trace(name).split(size))
        return await events_of(backend, request_), await events_of(backend, request_)

    whole, events = with_double(main)
    assert (reasoning_of(events), text_of(events)) == (reasoning, answer)
    assert [type(event) for event in events] == [type(event) for event in whole]


# However the answer ends


@pytest.mark.parametrize("version", ["0.9.3", "0.5.4"])
def test_a_runner_that_dies_in_mid_answer_is_one_error_after_the_text(version: str) -> None:
    events, error = told(trace(f"v{version}/err_midstream_runner_killed"))
    assert isinstance(error, BackendFailed)
    assert len(text_of(events)) > 10


@pytest.mark.parametrize("version", ["0.9.3", "0.5.4"])
def test_an_error_may_be_the_first_line_under_status_200(version: str) -> None:
    events, error = told(trace(f"v{version}/err_format"))
    assert events == []
    assert isinstance(error, BackendFailed)
    assert "invalid format" in error.message


def test_a_done_reason_ends_an_answer_as_done_does() -> None:
    events, error = told(lines({"message": {"content": "Hi"}}, {"done_reason": "length"}))
    assert error is None
    assert text_of(events) == "Hi"
    assert done_of(events).finish_reason == "length"


def test_the_last_line_may_carry_thinking_text_and_calls() -> None:
    call = {"function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    last = {"message": {"content": "Hi", "thinking": "Hm", "tool_calls": [call]}, "done": True, "done_reason": "stop"}
    events, error = told(lines(last))
    assert error is None
    assert (reasoning_of(events), text_of(events)) == ("Hm", "Hi")
    calls = next(event for event in events if isinstance(event, ToolCalls)).calls
    assert calls[0]["arguments"] == {"city": "Paris"}
    assert calls[0]["id"]
    assert done_of(events).finish_reason == "tool_calls"


def test_a_line_may_lack_anything() -> None:
    bare: list[dict[str, object]] = [
        {},
        {"message": None},
        {"message": {"content": None}},
        {"message": {"tool_calls": None}},
        {"message": {"content": 5}, "eval_count": "many", "prompt_eval_count": None},
        {"done": True},
    ]
    events, error = told(lines(*bare))
    assert error is None
    assert events == [done_of(events)]
    assert done_of(events).finish_reason == "stop"


# Whatever answers instead


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404, "", []), "ModelNotFound"),
        (error(404, "anything at all"), "ModelNotFound"),
        (Reply(200, "text/event-stream", [b'data: {"done": true}\n\n']), "BackendFailed"),
        (Reply(504, "", []), "BackendUnreachable"),
        (trace("v0.5.4/err_503_queue"), "Overloaded"),
        (trace("v0.5.4/host_bad"), "BackendFailed"),
        (trace("v0.9.3/err_opt_type"), "BackendFailed"),
    ],
)
def test_ollamas_own_refusals_are_one_error(reply: Reply, kind: str) -> None:
    events, refused = told(reply)
    assert events == []
    assert type(refused).__name__ == kind


def test_a_model_that_refuses_to_think_is_asked_again_without() -> None:
    async def main(double: ServerDouble, backend: Backend) -> tuple[str, list[bool]]:
        double.will(CHAT, trace("v0.9.3/think_refused"), RECORDED)
        text = text_of(await events_of(backend, ask(model="thinker")))
        return text, ["think" in body for body in double.bodies(CHAT)[-2:]]

    assert with_double(main) == (ANSWER, [True, False])


def test_tags_are_split_where_the_server_was_not_told_how_to_think() -> None:
    pieces = ["<th", "ink>\nLet me", " see.</", "think>\n\n", "Par", "is."]
    reply = lines(*({"message": {"content": piece}} for piece in pieces), {"done": True})
    events, _ = told(reply)
    assert (reasoning_of(events), text_of(events)) == ("Let me see.", "Paris.")
    events, _ = told(reply, ask(model="thinker"))
    assert text_of(events) == "".join(pieces), "A server that parts thinking itself sends no tags; these are words."


# What a silent server is doing


def test_a_model_that_is_loaded_first_is_said_to_load() -> None:
    async def main() -> list[Event]:
        async with OllamaDouble() as double:
            backend = backend_at(double.url)
            double.loaded = False
            double.will(LOAD, Reply(steps=[Act.STALL]))
            async with aclosing(backend.generate(ask())) as events:
                first = [await anext(events), await anext(events)]
            await backend.close()
            return first

    assert asyncio.run(main()) == [Progress("loading"), Progress("loading")]


# Downloads


def test_a_download_tells_its_bytes_and_never_goes_back() -> None:
    async def main(double: ServerDouble, backend: Backend) -> list[tuple[int, int]]:
        double.will("/api/tags", NO_MODELS)
        double.will("/api/pull", trace("v0.5.4/pull_resumed"))
        return [(loading.done, loading.total) for loading in await loadings_of(backend, MODEL) if loading.total]

    seen = with_double(main)
    assert len(seen) > 30
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)


def test_a_download_that_breaks_off_says_how_to_go_on() -> None:
    async def main(double: ServerDouble, backend: Backend) -> str:
        double.will("/api/tags", NO_MODELS)
        double.will("/api/pull", trace("v0.5.4/pull_interrupted"))
        with pytest.raises(BackendFailed) as caught:
            await loadings_of(backend, MODEL)
        return str(caught.value)

    assert "goes on where it stopped" in with_double(main)


def test_leaving_a_download_closes_its_connection() -> None:
    async def main(double: ServerDouble, backend: Backend) -> str:
        double.will("/api/tags", NO_MODELS)
        double.will("/api/pull", trace("v0.5.4/pull_interrupted").upto_piece(4, Act.STALL))
        async with aclosing(backend.load(MODEL)) as loading:
            for _ in range(4):
                await anext(loading)
        return await double.left.get()

    assert with_double(main) == "/api/pull"
