"""The measuring clients: what they make of frames, and of real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from backends.echo import EchoBackend
from bench.reciter import Reciter
from bench.sockets import Refused, Socket, first_text, open_socket, read_frame
from server.frames import text_frame
from tests.server.doubles import PATIENCE_S
from tests.server.serving import serving

TEXTS = ["", "short", "é" * 100, "a" * 70_000]


def test_frames_are_read_whole_however_they_are_cut() -> None:
    data = bytearray(b"".join(map(text_frame, TEXTS)))
    start, texts = 0, []
    while (frame := read_frame(data, start)) is not None:
        opcode, payload, start = frame
        assert opcode == 1
        texts.append(payload.decode())
    assert texts == TEXTS
    assert read_frame(data[:-1], len(data) - 70_000 - 10) is None, "the last one is not whole"


@asynccontextmanager
async def talking(url: str) -> AsyncGenerator[tuple[Socket, asyncio.Queue[dict[str, object]]]]:
    """A socket, and what it hears."""
    heard: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    socket = await open_socket(url)
    for text in socket.early:
        heard.put_nowait(json.loads(text))
    socket.listen(lambda text: heard.put_nowait(json.loads(text)))
    yield socket, heard
    await socket.close()


def test_the_real_server_is_understood_and_understands() -> None:
    async def test() -> None:
        async with asyncio.timeout(PATIENCE_S), serving([EchoBackend()]) as (_, url), talking(url) as (socket, heard):
            for text in ("a", "a" * 100, "a" * 20_000):
                socket.send(json.dumps({"message": text}))
                while (message := await heard.get())["type"] != "ai":
                    pass
                assert message["message"] == text

    asyncio.run(test())


def test_a_refusal_and_a_reset_are_told_apart_from_an_end() -> None:
    async def test() -> None:
        async with asyncio.timeout(PATIENCE_S), serving([EchoBackend()]) as (hub, url):
            with pytest.raises(Refused, match="403"):
                await open_socket(url.removesuffix("/ws") + "/nowhere")
            socket = await open_socket(url)
            assert json.loads(await first_text(socket))["type"] == "system"
            session = next(iter(hub.sessions))
            assert session.subscribers == 1
            socket.reset()
            await socket.closed
            assert socket.close_code is None
            while session.subscribers:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    asyncio.run(test())


def test_the_reciter_says_as_many_pieces_as_it_is_asked_for_each_a_frame() -> None:
    async def test() -> None:
        async with asyncio.timeout(PATIENCE_S), serving([Reciter()]) as (_, url), talking(url) as (socket, heard):
            socket.send(json.dumps({"message": "recite 20 0 12"}))
            messages = [await heard.get()]
            while messages[-1]["type"] != "ai":
                messages.append(await heard.get())
            pieces = [message["message"] for message in messages if message["type"] == "delta"]
            assert pieces == ["a" * 11 + "\n"] * 20
            assert messages[-1]["usage"] == {"prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 20}

    asyncio.run(test())
