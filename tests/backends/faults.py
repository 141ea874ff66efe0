"""What a model server, or what stands before it, can do wrong: each ends in one error, with what came before kept.

One suite for all adapters. A test module of one has a class that is `Faults`, and a fixture `dialect` that says how its
servers speak.
"""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Overloaded,
    Progress,
)
from tests.backends.asking import ANSWER, done_of, events_of, failure_of, text_of, told_by
from tests.backends.double import Act, Reply, ServerDouble

T = TypeVar("T")
WORDS = ["The", " capital", " of", " France", " is", " Paris", "."]
HTML = Reply(200, "text/html; charset=utf-8", [b"<!DOCTYPE html><title>Welcome to nginx!</title>"])


@dataclass(slots=True, frozen=True)
class Dialect:
    """How one kind of server speaks."""

    double: Callable[..., ServerDouble]
    make: Callable[..., Backend]  # of an address, and an adapter's options
    request: GenerationRequest
    chat: str  # the path of chats
    listing: str  # the path of the list of models
    answer: Reply  # `ANSWER`, a word in each piece
    lead: int  # pieces before its first word
    short: Reply  # its first three words
    whole_from: int  # bytes of `short` after which nothing of it is missing
    failing: bytes  # a piece that says that the server failed
    half_tag: bytes  # a piece whose text is `<thi`
    begun: bytes  # a piece that is not whole

    def with_double(self, work: Callable[[ServerDouble, Backend], Awaitable[T]], **options: Any) -> T:
        """Do `work` with a double and a backend before it."""

        async def main() -> T:
            async with self.double() as double:
                backend = self.make(double.url, **options)
                try:
                    return await work(double, backend)
                finally:
                    await backend.close()

        return asyncio.run(main())

    def told(
        self, reply: Reply, request: GenerationRequest | None = None, **options: Any
    ) -> tuple[list[Event], BackendError | None]:
        """What the adapter says when the chat is answered by `reply`: its events, and the error it ends in."""

        async def work(double: ServerDouble, backend: Backend) -> tuple[list[Event], BackendError | None]:
            double.will(self.chat, reply, reply)  # a kept connection that breaks without a word is tried once more
            return await told_by(backend, request or self.request)

        return self.with_double(work, **options)

    def upto_word(self, count: int, *then: bytes | float | Act) -> Reply:
        """The answer's first words, and then something else."""
        return self.answer.upto_piece(self.lead + count, *then)


class Faults:
    """The suite."""

    # However the bytes are cut

    @pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
    def test_chunks_of_any_size_give_the_same_events(self, dialect: Dialect, size: int) -> None:
        whole, _ = dialect.told(dialect.answer)
        events, error = dialect.told(dialect.answer.split(size))
        assert error is None
        assert text_of(events) == ANSWER
        assert [type(event) for event in events] == [type(event) for event in whole]

    def test_an_answer_cut_in_two_at_any_byte_is_the_same_answer(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> set[str]:
            answers = set()
            body, kind = dialect.short.body, dialect.short.content_type
            for size in range(0, len(body), 1 + len(body) // 300):
                double.will(dialect.chat, Reply(200, kind, [body[:size], body[size:]] if size else [body]))
                answers.add(text_of(await events_of(backend, dialect.request)))
            return answers

        assert dialect.with_double(main) == {"The capital of"}

    # However the answer ends

    @pytest.mark.parametrize("count", range(8))
    @pytest.mark.parametrize("how", ["ends", "breaks", "is reset", "ends in a piece"])
    def test_an_answer_without_its_end_keeps_what_came(self, dialect: Dialect, count: int, how: str) -> None:
        endings: dict[str, tuple[Any, ...]] = {
            "ends": (b"\n",),
            "breaks": (Act.CUT,),
            "is reset": (Act.RESET,),
            "ends in a piece": (dialect.begun,),
        }
        events, error = dialect.told(dialect.upto_word(count, *endings[how]))
        assert isinstance(error, BackendFailed)
        assert text_of(events) == "".join(WORDS[:count])

    def test_the_same_answer_cut_at_any_byte_is_never_taken_for_whole(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> list[str]:
            body, kind = dialect.short.body, dialect.short.content_type
            texts = []
            for size in sorted({*range(1, dialect.whole_from, 1 + dialect.whole_from // 400), dialect.whole_from - 1}):
                double.will(dialect.chat, Reply(200, kind, [body[:size]]))
                events, error = await told_by(backend, dialect.request)
                assert isinstance(error, BackendFailed), f"{size} bytes were taken for a whole answer."
                texts.append(text_of(events))
            return texts

        texts = dialect.with_double(main)
        assert all("The capital of".startswith(text) for text in texts)
        assert texts == sorted(texts)

    def test_an_error_in_mid_answer_comes_after_the_text(self, dialect: Dialect) -> None:
        events, error = dialect.told(dialect.upto_word(3, dialect.failing))
        assert isinstance(error, BackendFailed)
        assert text_of(events) == "The capital of"

    def test_an_error_may_be_the_first_piece_under_status_200(self, dialect: Dialect) -> None:
        events, error = dialect.told(dialect.answer.upto_piece(0, dialect.failing))
        assert events == []
        assert isinstance(error, BackendFailed)

    def test_the_body_is_read_to_its_end_before_done_is_said(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> tuple[int, int]:
            await backend.list_models()
            before = double.connections
            double.will(dialect.chat, dialect.answer.upto_piece(99, 0.1), dialect.answer)
            async with aclosing(backend.generate(dialect.request)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        break
            await events_of(backend, dialect.request)
            return double.connections - before, double.left.qsize()

        assert dialect.with_double(main) == (0, 0)

    @pytest.mark.parametrize("how", ["ends", "breaks", "fails"])
    def test_half_a_tag_is_text_when_the_answer_breaks_off(self, dialect: Dialect, how: str) -> None:
        endings: dict[str, tuple[Any, ...]] = {"ends": (), "breaks": (Act.CUT,), "fails": (dialect.failing,)}
        events, error = dialect.told(dialect.answer.upto_piece(0, dialect.half_tag, *endings[how]))
        assert isinstance(error, BackendFailed)
        assert text_of(events) == "<thi"

    # Whatever answers instead

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (HTML, "BackendFailed"),
            (Reply(200, "application/octet-stream", [b"\0"]), "BackendFailed"),
            (Reply(200, "application/json", [b"<html>\n"]), "BackendFailed"),
            (Reply(200, "application/json", [b"[1]\n"]), "BackendFailed"),
            (Reply(200, "application/json", [b'{"message": {"content": "\xff"}}\n']), "BackendFailed"),
            (Reply(301, "text/html", [], (("Location", "https://elsewhere.example/"),)), "BackendFailed"),
            (Reply(400, "application/json", [b'{"error": "invalid character"}']), "BackendFailed"),
            (Reply(401, "application/json", [b'{"error":"unauthorized"}']), "BackendFailed"),
            (Reply(403, "", []), "BackendFailed"),
            (Reply(404, "application/json", [b'{"error":"model \'x\' not found"}']), "ModelNotFound"),
            (Reply(404, "text/plain", [b"404 page not found"]), "BackendFailed"),
            (Reply(405, "", []), "BackendFailed"),
            (Reply(429, "", []), "Overloaded"),
            (Reply(500, "text/html", [b"<h1>Internal Server Error</h1>"]), "BackendFailed"),
            (Reply(500, "application/json", [b'{"error": {"message": "open /srv/x: no such file"}}']), "BackendFailed"),
            (Reply(500, "application/json", [b"x" * 1_000_000]), "BackendFailed"),
            (Reply(502, "text/html", [b"<h1>Bad Gateway</h1>"]), "BackendUnreachable"),
            (Reply(503, "application/json", [b'{"error": "busy"}']), "Overloaded"),
        ],
    )
    def test_other_answers_are_one_error_in_a_sentence(self, dialect: Dialect, reply: Reply, kind: str) -> None:
        events, error = dialect.told(reply)
        assert events == []
        assert type(error).__name__ == kind
        assert error is not None
        assert error.message[0].isupper()
        assert error.message.endswith(".")
        assert not {"<", "/", "http", "127.0.0.1", "Traceback"} & set(error.message.split())

    def test_a_busy_server_says_when_to_come_back(self, dialect: Dialect) -> None:
        for headers, seconds in ({}, 5), ({"Retry-After": "17"}, 17), ({"Retry-After": "yesterday"}, 5):
            _, error = dialect.told(Reply(503, "", [], tuple(headers.items())))
            assert isinstance(error, Overloaded)
            assert error.retry_after == seconds

    def test_a_web_server_at_the_address_is_no_model_server(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> BackendError:
            double.will(dialect.listing, HTML)
            with pytest.raises(BackendError) as caught:
                await backend.list_models()
            return caught.value

        assert "What answers at" in dialect.with_double(main).message

    # Memory and time

    def test_an_endless_piece_is_refused_and_takes_little_memory(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> tuple[BackendError, int]:
            double.will(dialect.chat, dialect.answer, dialect.answer.upto_piece(0, *[b"x" * 65_536] * 800))  # 50 MB
            await events_of(backend, dialect.request)
            tracemalloc.start()
            error = await failure_of(backend, dialect.request)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert await double.left.get() == dialect.chat
            return error, peak

        error, peak = dialect.with_double(main)
        assert isinstance(error, BackendFailed)
        assert peak < 32 * 1024 * 1024

    def test_an_endless_list_of_models_is_refused(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> None:
            double.will(dialect.listing, Reply(200, "application/json", [b" " * 65_536] * 800))
            with pytest.raises(BackendFailed, match="more than can be read"):
                await backend.list_models()

        dialect.with_double(main)

    @pytest.mark.parametrize("count", [0, 3])
    @pytest.mark.parametrize("how", ["silent", "dripping"])
    def test_a_server_that_says_nothing_is_given_up_and_the_text_kept(
        self, dialect: Dialect, how: str, count: int
    ) -> None:
        steps = [Act.STALL] if how == "silent" else [dialect.begun, *[0.02, b" "] * 200]
        reply = dialect.upto_word(count, *steps)
        events, error = dialect.told(reply, first_token_timeout=0.3, idle_timeout=0.3)
        assert isinstance(error, BackendTimeout)
        assert text_of(events) == "".join(WORDS[:count])
        assert ("mid-answer" in error.message) == (count > 0)

    def test_nobody_at_the_address_is_told(self, dialect: Dialect) -> None:
        async def main() -> BackendError:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            backend = dialect.make(f"http://127.0.0.1:{port}")
            error = await failure_of(backend, dialect.request)
            health = await backend.health()
            with pytest.raises(BackendUnreachable):
                await backend.list_models()
            await backend.close()
            assert health.reason == error.message
            return error

        error = asyncio.run(main())
        assert isinstance(error, BackendUnreachable)
        assert "Nothing answers at" in error.message
        assert "127.0.0.1" not in error.message

    def test_a_proxy_of_the_environment_does_not_come_between(
        self, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        events, error = dialect.told(dialect.answer)
        assert error is None
        assert text_of(events) == ANSWER

    # Leaving

    @pytest.mark.parametrize("count", [1, 4])
    def test_closing_the_answer_closes_the_connection_at_once(self, dialect: Dialect, count: int) -> None:
        async def main(double: ServerDouble, backend: Backend) -> str:
            double.will(dialect.chat, dialect.upto_word(count, Act.STALL))
            async with aclosing(backend.generate(dialect.request)) as events:
                for _ in range(count):
                    await anext(events)
            return await double.left.get()

        assert dialect.with_double(main) == dialect.chat

    def test_cancelling_a_reader_that_waits_closes_the_connection_at_once(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> str:
            waiting = asyncio.Event()
            double.will(dialect.chat, dialect.upto_word(1, Act.STALL))

            async def read() -> None:
                async for _ in backend.generate(dialect.request):
                    waiting.set()

            reader = asyncio.create_task(read())
            await waiting.wait()
            reader.cancel()
            return await double.left.get()

        assert dialect.with_double(main) == dialect.chat

    def test_a_server_that_went_and_came_back_is_used_again(self, dialect: Dialect) -> None:
        async def main() -> list[object]:
            double = dialect.double()
            async with double:
                backend = dialect.make(double.url)
                double.will(dialect.chat, dialect.answer)
                seen: list[object] = [text_of(await events_of(backend, dialect.request))]
            seen.append(type(await failure_of(backend, dialect.request)))
            async with double:
                double.will(dialect.chat, dialect.answer)
                seen.append(text_of(await events_of(backend, dialect.request)))
            await backend.close()
            return seen

        assert asyncio.run(main()) == [ANSWER, BackendUnreachable, ANSWER]

    # What a silent server is doing

    def test_a_silent_server_is_reading_or_at_work(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> list[str]:
            double.will(dialect.chat, Reply(steps=[Act.STALL]), dialect.upto_word(2, Act.STALL))
            return [await first_phase(backend, dialect.request), await first_phase(backend, dialect.request)]

        assert dialect.with_double(main) == ["prefill", "decoding"]

    def test_a_request_behind_an_answer_of_the_same_model_is_queued(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> str:
            double.will(dialect.chat, dialect.upto_word(2, Act.STALL), Reply(steps=[Act.STALL]))
            async with aclosing(backend.generate(dialect.request)) as first:
                await anext(first)
                return await first_phase(backend, dialect.request)

        assert dialect.with_double(main) == "queued"

    def test_an_end_comes_once(self, dialect: Dialect) -> None:
        events, _ = dialect.told(dialect.answer)
        assert done_of(events).finish_reason == "stop"

    # What the server's own log says of it

    def test_the_server_is_told_which_request_it_works_for(self, dialect: Dialect) -> None:
        async def main(double: ServerDouble, backend: Backend) -> list[str | None]:
            double.will(dialect.chat, dialect.answer)
            await events_of(backend, replace(dialect.request, request_id="the-clients-own-id"))
            return [seen.headers.get("x-request-id") for seen in double.requests if seen.path == dialect.chat]

        assert dialect.with_double(main) == ["the-clients-own-id"]


async def first_phase(backend: Backend, request: GenerationRequest) -> str:
    """The phase that the first sign of progress tells."""
    async with aclosing(backend.generate(request)) as events:
        async for event in events:
            if isinstance(event, Progress):
                return event.phase
    return ""
