"""A WebSocket client of bare bytes, to do what a well-behaved one never would."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.server.doubles import PATIENCE_S


async def slow_socket(url: str, query: str) -> socket.socket:
    """A client with next to no buffer that has shaken hands and then reads nothing."""
    host, port = url.removeprefix("ws://").removesuffix("/ws").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    request = (
        f"GET /ws{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
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
    while data:
        opcode, length, start = data[0] & 15, data[1] & 127, 2
        if length == 126:
            length, start = struct.unpack("!H", data[2:4])[0], 4
        elif length == 127:
            length, start = struct.unpack("!Q", data[2:10])[0], 10
        payload, data = data[start : start + length], data[start + length :]
        if len(payload) < length:
            break
        if opcode == 8:
            return texts, struct.unpack("!H", payload[:2])[0]
        if opcode == 1:
            texts.append(payload.decode())
    return texts, None
