"""What an Ollama server, or what stands before it, can do wrong: each ends in one error, with what came before kept."""

from __future__ import annotations

import asyncio
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import pytest

from backends.base import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    ModelNotFound,
    Overloaded,
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
    failure_of,
    loadings_of,
    reasoning_of,
    text_of,
    told_by,
)
from tests.backends.ollama.double import LOAD, Act, OllamaDouble, Reply, lines, trace

T = TypeVar("T")
CHAT = "/api/chat"
RECORDED = trace("v0.9.3/chat_stream")
HTML = Reply(200, "text/html; charset=utf-8", [b"<!DOCTYPE html><title>Welcome to nginx!</title>"])


@asynccontextmanager
async def doubled(version: str = "0.9.3", **options: Any) -> AsyncIterator[tuple[OllamaDouble, OllamaBackend]]:
    async with OllamaDouble(version=version) as double:
        backend = OllamaBackend(double.url, options={"num_thread": 1}, **options)
        try:
            yield double, backend
        finally:
            await backend.close()


def told(
    reply: Reply, request: GenerationRequest | None = None, **options: Any
) -> tuple[list[Event], BackendError | None]:
    """What the adapter says when the chat is answered by `reply`: its events, and the error it ends in."""

    async def main() -> tuple[list[Event], BackendError | None]:
        async with doubled(**options) as (double, backend):
            double.will(CHAT, reply)
            return await told_by(backend, request or ask())

    return asyncio.run(main())


def with_double(work: Callable[[OllamaDouble, OllamaBackend], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        async with doubled(**options) as (double, backend):
            return await work(double, backend)

    return asyncio.run(main())


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
    async def main(double: OllamaDouble, backend: OllamaBackend) -> tuple[list[Event], list[Event]]:
        double.will(CHAT, trace(name), trace(name).split(size))
        return await events_of(backend, request_), await events_of(backend, request_)

    whole, events = with_double(main)
    assert (reasoning_of(events), text_of(events)) == (reasoning, answer)
    assert [type(event) for event in events] == [type(event) for event in whole]


def test_an_answer_cut_in_two_at_any_byte_is_the_same_answer() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> set[str]:
        answers = set()
        body = trace("v0.9.3/chat_length").body
        for size in range(len(body)):
            double.will(CHAT, Reply(steps=[body[:size], body[size:]] if size else [body]))
            answers.add(text_of(await events_of(backend, ask())))
        return answers

    assert with_double(main) == {"The capital of"}


# However the answer ends


@pytest.mark.parametrize("count", range(8))
@pytest.mark.parametrize("how", [(), (Act.CUT,), (Act.RESET,), (b'{"model":"smollm2:135m","mess',)])
def test_an_answer_without_its_end_keeps_what_came(count: int, how: tuple[Any, ...]) -> None:
    if count == 0 and how == ():
        how = (b"\n",)
    events, error = told(RECORDED.upto_piece(count, *how))
    assert isinstance(error, BackendFailed)
    words = ["The", " capital", " of", " France", " is", " Paris", "."]
    assert text_of(events) == "".join(words[:count])


def test_the_same_answer_cut_at_any_byte_is_never_taken_for_whole() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> list[str]:
        body = trace("v0.9.3/chat_length").body
        texts = []
        for size in range(1, len(body) - 1):  # the newline at the very end may be missing
            double.will(CHAT, Reply(steps=[body[:size]]))
            events, error = await told_by(backend, ask())
            assert isinstance(error, BackendFailed), f"{size} bytes were taken for a whole answer."
            texts.append(text_of(events))
        return texts

    texts = with_double(main)
    assert all("The capital of".startswith(text) for text in texts)
    assert texts == sorted(texts)


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


def test_the_body_is_read_to_its_end_before_done_is_said() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> tuple[int, int]:
        double.will(CHAT, Reply(steps=[*RECORDED.steps, 0.1]))
        async with aclosing(backend.generate(ask())) as events:
            async for event in events:
                if isinstance(event, Done):
                    break
        await events_of(backend, ask())
        return double.connections, double.left.qsize()

    assert with_double(main) == (1, 0)


# Whatever answers instead


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HTML, BackendFailed),
        (Reply(200, "text/event-stream", [b'data: {"done": true}\n\n']), BackendFailed),
        (Reply(200, "application/octet-stream", RECORDED.steps), BackendFailed),
        (Reply(200, "application/x-ndjson", [b"<html>\n"]), BackendFailed),
        (Reply(200, "application/x-ndjson", [b"[1]\n"]), BackendFailed),
        (Reply(200, "application/x-ndjson", [b'{"message": {"content": "\xff"}}\n']), BackendFailed),
        (Reply(301, "text/html", [], (("Location", "https://elsewhere.example/"),)), BackendFailed),
        (Reply(400, "application/json", [b'{"error": "invalid character"}']), BackendFailed),
        (Reply(401, "application/json", [b'{"error":"unauthorized","signin_url":"https://x.example"}']), BackendFailed),
        (Reply(403, "", []), BackendFailed),
        (Reply(404, "", []), ModelNotFound),
        (Reply(404, "application/json", [b'{"error":"anything at all"}']), ModelNotFound),
        (Reply(404, "text/plain", [b"404 page not found"]), BackendFailed),
        (Reply(405, "", []), BackendFailed),
        (Reply(429, "", []), Overloaded),
        (Reply(500, "text/html", [b"<h1>Internal Server Error</h1>"]), BackendFailed),
        (Reply(500, "application/json", [b'{"error": {"message": "broken"}}']), BackendFailed),
        (Reply(502, "text/html", [b"<h1>Bad Gateway</h1>"]), BackendUnreachable),
        (trace("v0.5.4/err_503_queue"), Overloaded),
        (Reply(504, "", []), BackendUnreachable),
        (trace("v0.5.4/host_bad"), BackendFailed),
        (trace("v0.9.3/err_opt_type"), BackendFailed),
        (Reply(500, "application/json", [b"x" * 1_000_000]), BackendFailed),
    ],
)
def test_other_answers_are_one_error_in_a_sentence(reply: Reply, kind: type[BackendError]) -> None:
    events, error = told(reply)
    assert events == []
    assert type(error) is kind
    assert error.message[0].isupper()
    assert error.message.endswith(".")
    assert not {"<", "/", "http", "127.0.0.1", "Traceback"} & set(error.message.split())


def test_a_busy_server_says_when_to_come_back() -> None:
    _, asked = told(Reply(503, "", [], (("Retry-After", "17"),)))
    _, silent = told(Reply(503, "", []))
    assert isinstance(asked, Overloaded)
    assert asked.retry_after == 17
    assert isinstance(silent, Overloaded)
    assert silent.retry_after == 5


def test_a_web_server_at_the_address_is_no_ollama() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> BackendError:
        double.will("/api/tags", HTML)
        with pytest.raises(BackendError) as caught:
            await backend.list_models()
        return caught.value

    assert "not Ollama" in with_double(main).message


def test_a_model_that_refuses_to_think_is_asked_again_without() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> tuple[str, list[bool]]:
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


@pytest.mark.parametrize("how", [(), (Act.CUT,), (b'{"error": "runner died"}\n',)], ids=["ends", "breaks", "fails"])
def test_half_a_tag_is_text_when_the_answer_breaks_off(how: tuple[Any, ...]) -> None:
    events, error = told(lines({"message": {"content": "<thi"}}).upto_piece(1, *how))
    assert isinstance(error, BackendFailed)
    assert text_of(events) == "<thi"


# Memory and time


def test_an_endless_line_is_refused_and_takes_little_memory() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> tuple[BackendError, int]:
        await events_of(backend, ask())
        double.will(CHAT, Reply(steps=[b"x" * 65_536] * 800))  # the same 64 KiB, 50 MB in all
        tracemalloc.start()
        error = await failure_of(backend, ask())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert await double.left.get() == CHAT
        return error, peak

    error, peak = with_double(main)
    assert isinstance(error, BackendFailed)
    assert peak < 32 * 1024 * 1024


def test_an_endless_list_of_models_is_refused() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> None:
        double.will("/api/tags", Reply(200, "application/json", [b" " * 65_536] * 800))
        with pytest.raises(BackendFailed, match="more than can be read"):
            await backend.list_models()

    with_double(main)


@pytest.mark.parametrize("steps", [[Act.STALL], [b'{"message":', *[0.02, b" "] * 200]], ids=["silent", "dripping"])
def test_a_server_that_does_not_begin_is_given_up(steps: list[Any]) -> None:
    begun = time.monotonic()
    events, error = told(Reply(steps=steps), first_token_timeout=0.3)
    assert isinstance(error, BackendTimeout)
    assert events == []
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("steps", [[Act.STALL], [b'{"message":', *[0.02, b" "] * 200]], ids=["silent", "dripping"])
def test_a_server_that_falls_silent_is_given_up_and_the_text_kept(steps: list[Any]) -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> tuple[str, BackendError | None]:
        double.will(CHAT, RECORDED.upto_piece(3, *steps))
        events, error = await told_by(backend, ask())
        return text_of(events), error

    text, error = with_double(main, idle_timeout=0.3)
    assert text == "The capital of"
    assert isinstance(error, BackendTimeout)


def test_nobody_at_the_address_is_told_within_a_second() -> None:
    async def main() -> tuple[BackendError, float]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        backend = OllamaBackend(f"127.0.0.1:{port}")
        begun = time.monotonic()
        error = await failure_of(backend, ask())
        health = await backend.health()
        with pytest.raises(BackendUnreachable):
            await backend.list_models()
        await backend.close()
        assert health.reason == error.message
        return error, time.monotonic() - begun

    error, took = asyncio.run(main())
    assert isinstance(error, BackendUnreachable)
    assert "ollama serve" in error.message
    assert "127.0.0.1" not in error.message
    assert took < 1


def test_a_proxy_of_the_environment_does_not_come_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    events, error = told(RECORDED)
    assert error is None
    assert text_of(events) == ANSWER


# Leaving


@pytest.mark.parametrize("after", [1, 4])
def test_closing_the_answer_closes_the_connection_at_once(after: int) -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> float:
        double.will(CHAT, RECORDED.upto_piece(after, Act.STALL))
        async with aclosing(backend.generate(ask())) as events:
            for _ in range(after):
                await anext(events)
            begun = time.monotonic()
        async with asyncio.timeout(5):
            assert await double.left.get() == CHAT
        return time.monotonic() - begun

    assert with_double(main) < 0.5


def test_cancelling_a_reader_that_waits_closes_the_connection_at_once() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> float:
        waiting = asyncio.Event()
        double.will(CHAT, RECORDED.upto_piece(1, Act.STALL))

        async def read() -> None:
            async for _ in backend.generate(ask()):
                waiting.set()

        reader = asyncio.create_task(read())
        await waiting.wait()
        begun = time.monotonic()
        reader.cancel()
        async with asyncio.timeout(5):
            assert await double.left.get() == CHAT
        return time.monotonic() - begun

    assert with_double(main) < 0.5


def test_a_server_that_went_and_came_back_is_used_again() -> None:
    async def main() -> list[object]:
        double = OllamaDouble()
        async with double:
            backend = OllamaBackend(double.url, options={"num_thread": 1})
            seen: list[object] = [text_of(await events_of(backend, ask()))]
        seen.append(type(await failure_of(backend, ask())))
        async with double:
            seen.append(text_of(await events_of(backend, ask())))
        await backend.close()
        return seen

    assert asyncio.run(main()) == [ANSWER, BackendUnreachable, ANSWER]


# What a silent server is doing


async def _phases(backend: OllamaBackend, count: int) -> list[str]:
    """The phases that the first `count` signs of progress tell."""
    phases = []
    async with aclosing(backend.generate(ask())) as events:
        async for event in events:
            if isinstance(event, Progress):
                phases.append(event.phase)
                if len(phases) == count:
                    break
    return phases


def test_a_silent_server_is_loading_reading_or_at_work() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> list[list[str]]:
        double.loaded = False
        double.will(LOAD, Reply(steps=[Act.STALL]))
        loading = await _phases(backend, 2)
        double.loaded = True
        await events_of(backend, ask())
        double.will(CHAT, Reply(steps=[Act.STALL]), RECORDED.upto_piece(2, Act.STALL))
        return [loading, await _phases(backend, 1), await _phases(backend, 1)]

    assert with_double(main) == [["loading", "loading"], ["prefill"], ["decoding"]]


def test_a_request_behind_an_answer_of_the_same_model_is_queued() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> list[str]:
        double.will(CHAT, RECORDED.upto_piece(2, Act.STALL), Reply(steps=[Act.STALL]))
        async with aclosing(backend.generate(ask())) as first:
            await anext(first)
            return await _phases(backend, 1)

    assert with_double(main) == ["queued"]


# Downloads


def test_a_download_tells_its_bytes_and_never_goes_back() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> list[tuple[int, int]]:
        double.will("/api/tags", Reply(200, "application/json", [b'{"models":[]}']))
        double.will("/api/pull", trace("v0.5.4/pull_resumed"))
        return [(loading.done, loading.total) for loading in await loadings_of(backend, MODEL) if loading.total]

    seen = with_double(main)
    assert len(seen) > 30
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)


def test_a_download_that_breaks_off_says_how_to_go_on() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> str:
        double.will("/api/tags", Reply(200, "application/json", [b'{"models":[]}']))
        double.will("/api/pull", trace("v0.5.4/pull_interrupted"))
        with pytest.raises(BackendFailed) as caught:
            await loadings_of(backend, MODEL)
        return str(caught.value)

    assert "goes on where it stopped" in with_double(main)


def test_leaving_a_download_closes_its_connection() -> None:
    async def main(double: OllamaDouble, backend: OllamaBackend) -> str:
        double.will("/api/tags", Reply(200, "application/json", [b'{"models":[]}']))
        double.will("/api/pull", trace("v0.5.4/pull_interrupted").upto_piece(4, Act.STALL))
        async with aclosing(backend.load(MODEL)) as loading:
            for _ in range(4):
                await anext(loading)
        async with asyncio.timeout(5):
            return await double.left.get()

    assert with_double(main) == "/api/pull"
