"""A backend that dies, stalls, refuses, lies, drips or floods: one error for a person, and the next prompt works."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.backends.asking import ANSWER
from tests.backends.ollama.double import Act, OllamaDouble, Reply, lines, trace
from tests.faults.backends import ImpatientOllama
from tests.faults.whole_server import Whole, play, say, stored_answers, whole
from tests.server.doubles import eventually
from tests.server.serving import SocketClient, joined

IMPATIENT = "tests.faults.backends:ImpatientOllama"
MODEL = "ollama/smollm2:135m"
CHAT = "/api/chat"
RECORDED = trace("v0.9.3/chat_stream")
BEGUN = "The capital of"
DRIP: Sequence[bytes | float | Act] = [b'{"message":', *[0.02, b" "] * 40]
MOST_BYTES = 32 * 1024 * 1024


@asynccontextmanager
async def at_ollama(double: OllamaDouble) -> AsyncGenerator[tuple[Whole, SocketClient]]:
    """A server before an Ollama server, and a client of it."""
    ImpatientOllama.address = double.url
    async with whole(backends=[IMPATIENT], max_tokens=50) as server, joined(server.ws) as client:
        yield server, client


async def ask(client: SocketClient, message: str, model: str = MODEL) -> dict[str, object]:
    """The end of the answer to `message`."""
    await client.send(say(message, model=model))
    return await client.until("ai", "error")


def test_38_a_backend_killed_in_mid_answer_is_one_error_with_the_text_kept_and_works_again_when_it_is_back() -> None:
    async def scenario() -> None:
        async with OllamaDouble() as double:
            port = double.port
            double.will(CHAT, RECORDED.upto_piece(3, Act.STALL))
            async with at_ollama(double) as (server, client):
                await client.send(say("Go", model=MODEL))
                while client.answers() != [BEGUN]:
                    await client.until("typing", "delta")
                await double.__aexit__()  # killed, with every connection
                error = await client.until("ai", "error")
                assert (error["type"], error["code"]) == ("error", "backend_error")
                assert client.answers() == [BEGUN]
                assert (await ask(client, "Are you there?"))["code"] == "backend_unreachable"
                async with OllamaDouble(port=port) as back:
                    back.will(CHAT, RECORDED)
                    assert (await ask(client, "And now?"))["message"] == ANSWER
                assert await server.hub.saved(server.session(client))
                assert await stored_answers(server, client) == [BEGUN, "", ANSWER]

    play(scenario)


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (Reply(steps=[Act.STALL]), "backend_timeout", ""),
        (RECORDED.upto_piece(3, Act.STALL), "backend_timeout", BEGUN),
        (Reply(steps=DRIP), "backend_timeout", ""),
        (RECORDED.upto_piece(3, *DRIP), "backend_timeout", BEGUN),
        (Reply(404, "application/json", [b'{"error":"model not found"}']), "model_not_found", ""),
        (Reply(500, "text/html", [b"<h1>Internal Server Error</h1>"]), "backend_error", ""),
        (Reply(200, "text/html", [b"<!DOCTYPE html><title>Welcome to nginx!</title>"]), "backend_error", ""),
        (Reply(200, "text/event-stream", [b'data: {"done": true}\n\n']), "backend_error", ""),
        (RECORDED.upto_piece(3, b'{"model":"smollm2:135m","mess'), "backend_error", BEGUN),
        (RECORDED.upto_piece(3, Act.CUT), "backend_error", BEGUN),
        (RECORDED.upto_piece(3, Act.RESET), "backend_error", BEGUN),
    ],
    ids=[
        "stalls",
        "falls silent",
        "drips",
        "begins to drip",
        "404",
        "500",
        "html",
        "lies",
        "truncated",
        "cut",
        "reset",
    ],
)
def test_39_whatever_goes_wrong_is_one_error_and_the_next_prompt_works(reply: Reply, code: str, text: str) -> None:
    async def scenario() -> None:
        async with OllamaDouble() as double, at_ollama(double) as (_, client):
            double.will(CHAT, reply, RECORDED)
            error = await ask(client, "Go")
            assert (error["type"], error["code"]) == ("error", code)
            assert client.answers() == [text]
            assert not {"<", "/", "http", "127.0.0.1", "Traceback"} & set(str(error["message"]).split())
            assert (await ask(client, "And now?"))["message"] == ANSWER
            assert [kind for kind in client.types() if kind in ("ai", "error")] == ["error", "ai"]

    play(scenario)


def test_39_nobody_there_is_told_within_a_second_and_with_a_hint() -> None:
    async def scenario() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ImpatientOllama.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with whole(backends=[IMPATIENT]) as server, joined(server.ws) as client:
            loop = asyncio.get_running_loop()
            began = loop.time()
            error = await ask(client, "Go")
            assert error["code"] == "backend_unreachable"
            assert "Ollama" in str(error["message"])
            assert loop.time() - began < 5, "far more than it takes on a quiet machine"

    play(scenario)


def test_39_a_line_of_fifty_megabytes_is_one_error_and_is_never_in_memory() -> None:
    async def scenario() -> None:
        async with OllamaDouble() as double, at_ollama(double) as (server, client):
            double.will(CHAT, RECORDED, RECORDED.upto_piece(3, *[b"x" * 65_536] * 800))
            assert (await ask(client, "Go"))["message"] == ANSWER
            tracemalloc.start()
            error = await ask(client, "Go on")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert error["code"] == "backend_error"
            assert client.answers() == [ANSWER, BEGUN]
            assert peak < MOST_BYTES
            await eventually(lambda: not server.hub.active)

    play(scenario)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("text", ["CUDA error: out of memory", "an error was encountered while running the model"])
def test_40_an_error_inside_a_good_answer_is_an_error_and_no_text(before: int, text: str) -> None:
    async def scenario() -> None:
        async with OllamaDouble() as double, at_ollama(double) as (_, client):
            double.will(CHAT, RECORDED.upto_piece(before, lines({"error": text}).body), RECORDED)
            error = await ask(client, "Go")
            assert (error["type"], error["code"]) == ("error", "backend_error")
            assert client.answers() == [BEGUN if before else ""]
            assert text not in client.answers()[0]
            assert (await ask(client, "And now?"))["message"] == ANSWER

    play(scenario)
