"""A WebSocket client of bare bytes, to do what a well-behaved one never would."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import suppress

from tests.server.doubles import PATIENCE_S


async def raw_socket(url: str) -> socket.socket:
    """A connection with next to no buffer, over which nothing was said yet."""
    host, port = url.removeprefix("ws://").removesuffix("/ws").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    return raw


async def slow_socket(url: str, query: str) -> socket.socket:
    """A client with next to no buffer that has shaken hands and then reads nothing."""
    raw = await raw_socket(url)
    host, port = raw.getpeername()
    request = (
        f"GET /ws{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await asyncio.get_running_loop().sock_sendall(raw, request.encode())
    return raw


async def read_to_the_close(raw: socket.socket) -> tuple[list[str], int | None]:
    """Begin to read at last. Gives the text frames, and the code of the close frame."""
    received, code = b"", None
    with raw:
        async with asyncio.timeout(PATIENCE_S):
            while code is None:
                received += await asyncio.get_running_loop().sock_recv(raw, 65_536)
                texts, code = frames_and_close(received)
    return texts, code


def frames_and_close(data: bytes) -> tuple[list[str], int | None]:
    """The text frames in what a server sent, and the code of its close frame."""
    data = data.partition(b"\r\n\r\n")[2]
    texts = []
    while len(data) >= 2:
        opcode, length = data[0] & 15, data[1] & 127
        start = {126: 4, 127: 10}.get(length, 2)
        if len(data) < start:
            break
        length = int.from_bytes(data[2:start]) if start > 2 else length
        payload, data = data[start : start + length], data[start + length :]
        if len(payload) < length:
            break
        if opcode == 8:
            return texts, struct.unpack("!H", payload[:2])[0]
        if opcode == 1:
            texts.append(payload.decode())
    return texts, None


# HTTP


async def dial(url: str, receive_buffer: int | None = None) -> socket.socket:
    """A connection to where `url` is, over which nothing has been said."""
    host, port = url.split("://")[1].split("/")[0].split(":")
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    return raw


async def say(raw: socket.socket, data: bytes) -> None:
    """Send all of it, unless the server takes no more."""
    with suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(raw, data)


async def read_all(raw: socket.socket) -> bytes:
    """What the server says until it ends the connection. Raises ConnectionResetError where that is not polite."""
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while piece := await asyncio.get_running_loop().sock_recv(raw, 65_536):
            received += piece
    return received


async def read_answer(raw: socket.socket) -> bytes:
    """One answer of a connection that is kept, up to the end of its body."""
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            head, _, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if b"\r\n\r\n" in received and len(body) >= int(length[1] if length else 0):
                return received
            piece = await asyncio.get_running_loop().sock_recv(raw, 65_536)
            assert piece, f"the connection ended after {received!r}"
            received += piece


async def exchange(url: str, data: bytes) -> bytes:
    """Say something and read the whole of what comes of it."""
    with await dial(url) as raw:
        saying = asyncio.create_task(say(raw, data))
        answer = await read_all(raw)
        await saying
    return answer


def status_of(answer: bytes) -> int | None:
    """The status of an HTTP answer; None where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else None
