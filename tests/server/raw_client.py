"""A WebSocket client of bare bytes, to do what a well-behaved one never would."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Sequence
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


async def slow_socket(url: str, query: str = "", headers: str = "") -> socket.socket:
    """A client with next to no buffer that has shaken hands and then reads nothing."""
    raw = await raw_socket(url)
    host, port = raw.getpeername()
    request = (
        f"GET /ws{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
    await asyncio.get_running_loop().sock_sendall(raw, request.encode())
    return raw


async def read_to_the_close(raw: socket.socket) -> tuple[list[str], int | None]:
    """Begin to read at last. Gives the text frames, and the code of the close frame."""
    with raw:
        return await _read_to_the_close(raw)


async def _read_to_the_close(raw: socket.socket, received: bytes = b"") -> tuple[list[str], int | None]:
    texts, code = frames_and_close(received)
    async with asyncio.timeout(PATIENCE_S):
        while code is None:
            piece = await asyncio.get_running_loop().sock_recv(raw, 65_536)
            assert piece, "the connection ended without a close frame"
            received += piece
            texts, code = frames_and_close(received)
    return texts, code


def frames_and_close(data: bytes) -> tuple[list[str], int | None]:
    """The text frames in what a server sent, save compressed ones, and the code of its close frame."""
    data = data.partition(b"\r\n\r\n")[2]
    texts: list[str] = []
    while len(data) >= 2:
        opcode, packed, length = data[0] & 15, data[0] & 64, data[1] & 127
        start = {126: 4, 127: 10}.get(length, 2)
        if len(data) < start:
            break
        length = int.from_bytes(data[2:start]) if start > 2 else length
        payload, data = data[start : start + length], data[start + length :]
        if len(payload) < length:
            break
        if opcode == 8:
            return texts, struct.unpack("!H", payload[:2])[0]
        if opcode == 1 and not packed:
            texts.append(payload.decode())
    return texts, None


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A frame as no library would let one send it. The mask is of zeros, which changes nothing."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", size | masked << 7)
    elif size < 65_536:
        length = struct.pack("!BH", 126 | masked << 7, size)
    else:
        length = struct.pack("!BQ", 127 | masked << 7, size)
    return bytes([first]) + length + (bytes(4) if masked else b"") + payload


async def close_code(url: str, *pieces: bytes, headers: str = "") -> int | None:
    """Shake hands, send `pieces`, and give the code that the server closes with."""
    with await slow_socket(url, headers=headers) as raw:
        shaken = b""
        while b"\r\n\r\n" not in shaken:  # what is sent before that belongs to nothing
            shaken += await asyncio.get_running_loop().sock_recv(raw, 65_536)
        saying = asyncio.create_task(_say_all(raw, pieces))
        _, code = await _read_to_the_close(raw, shaken)
        saying.cancel()
        await asyncio.wait({saying})
    return code


async def _say_all(raw: socket.socket, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        await say(raw, piece)


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
    with suppress(OSError):
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
