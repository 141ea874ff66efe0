"""WebSocket clients that cost next to nothing, so that thousands of them can stand before the server that is measured.

They speak just enough of the protocol: text frames both ways, no fragments, no compression. What comes in goes to a
function, at once; what is lost is the connection's matter.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, CLOSE, PING = 1, 8, 9
MASK = bytes(4)  # a mask of zeros leaves the payload as it is


class Refused(Exception):
    """The server did not let the client in."""


class Socket(asyncio.Protocol):
    """One connection. `close_code` is set once the server closes; `early` has what came before anybody listened."""

    def __init__(self, request: bytes) -> None:
        self.early: list[bytes] = []
        self._on_text: Callable[[bytes], object] = self.early.append
        self.close_code: int | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.opened.done() and not self._read_head():
            return
        start = 0
        while (frame := read_frame(self._received, start)) is not None:
            opcode, payload, start = frame
            if opcode == TEXT:
                self._on_text(payload)
            elif opcode == PING:
                self._transport.write(client_frame(10, payload))
            elif opcode == CLOSE:
                self.close_code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                self._transport.close()
        del self._received[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        for waiting in (self.opened, self.closed):
            if not waiting.done():
                waiting.set_result(None)

    def listen(self, on_text: Callable[[bytes], object]) -> None:
        """Call `on_text` with every text that comes from now on."""
        self._on_text = on_text

    def send(self, text: str) -> None:
        """Send one text. Never waits."""
        self._transport.write(client_frame(TEXT, text.encode()))

    def pause(self) -> None:
        """Read nothing, until `resume`."""
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def reset(self) -> None:
        """Drop the connection as a broken network does."""
        self._transport.abort()

    async def close(self) -> None:
        """Close the connection in order, and wait until it is gone."""
        if not self._transport.is_closing():
            self._transport.write(client_frame(CLOSE, struct.pack("!H", 1000)))
        await self.closed

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        status = bytes(self._received.partition(b"\r\n")[0])
        del self._received[: end + 4]
        if b" 101 " in status:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(Refused(status.decode()))
        return b" 101 " in status


def read_frame(data: bytearray, start: int) -> tuple[int, bytes, int] | None:
    """The opcode and payload of the frame that begins there, and where the next one does; None if it is not whole."""
    if len(data) < start + 2:
        return None
    opcode, length, head = data[start] & 15, data[start + 1], 2
    if length == 126:
        if len(data) < start + 4:
            return None
        length, head = int.from_bytes(data[start + 2 : start + 4]), 4
    elif length == 127:
        if len(data) < start + 10:
            return None
        length, head = int.from_bytes(data[start + 2 : start + 10]), 10
    end = start + head + length
    return (opcode, bytes(data[start + head : end]), end) if len(data) >= end else None


def client_frame(opcode: int, payload: bytes) -> bytes:
    """One frame from a client, which must be masked."""
    length = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | length) if length < 126 else b""
    if length >= 126:
        assert length < 65_536, "no client here says so much at once"
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, length)
    return head + MASK + payload


async def open_socket(url: str, address: str = "127.0.0.1") -> Socket:
    """Connect from `address`, and return once the server has agreed. Raises Refused and OSError."""
    where = urlsplit(url)
    assert where.hostname is not None
    assert where.port is not None
    path = where.path + (f"?{where.query}" if where.query else "")
    request = REQUEST.format(path=path, host=where.netloc).encode()
    _, socket = await asyncio.get_running_loop().create_connection(
        lambda: Socket(request), where.hostname, where.port, local_addr=(address, 0)
    )
    await socket.opened
    if socket.closed.done():
        raise Refused("The connection was lost before the server agreed.")
    return socket


async def first_text(socket: Socket) -> bytes:
    """The first text that the server sends."""
    if not socket.early:
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_text(text: bytes) -> None:
            socket.early.append(text)
            if not came.done():
                came.set_result(None)

        socket.listen(on_text)
        await came
    return socket.early[0]
