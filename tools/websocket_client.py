"""A WebSocket client (RFC 6455) of text frames, blocking, from the standard library alone.

For checks that must run on a machine with nothing installed. Knows nothing about the chat's messages. What it leaves
out: extensions, subprotocols, and frames of its own longer than 64 KiB.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import ssl
import struct
import urllib.parse
from collections.abc import Mapping
from types import TracebackType
from typing import BinaryIO, cast

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
LAST = 0x80
MASKED = 0x80


class WebSocketError(Exception):
    """The server refused the handshake, broke the protocol, or closed the connection."""


class WebSocketClient:
    """One connection. `timeout` is how many seconds of silence are borne before TimeoutError is raised.

    `headers` are further ones for the handshake.
    """

    def __init__(self, url: str, timeout: float = 10, headers: Mapping[str, str] | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme in ("wss", "https")
        address = (parts.hostname or "", parts.port or (443 if secure else 80))
        self._socket = socket.create_connection(address, timeout)
        if secure:
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
        self._reader = cast(BinaryIO, self._socket.makefile("rb"))
        try:
            self._shake_hands(parts, headers or {})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WebSocketClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, text: str) -> None:
        """Send one text frame."""
        self._send(TEXT, text.encode())

    def receive(self) -> str:
        """The next text message; pings are answered on the way. Raises WebSocketError when the server closes."""
        message = b""
        while True:
            last, opcode, payload = self._read_frame()
            if opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                raise WebSocketError(f"the server closed the connection ({code} {payload[2:].decode()})")
            if opcode == PING:
                self._send(PONG, payload)
            elif opcode in (TEXT, CONTINUATION):
                message += payload
                if last:
                    return message.decode()
            elif opcode != PONG:
                raise WebSocketError(f"the server sent a frame of kind {opcode}")

    def close(self) -> None:
        """Say goodbye and hang up."""
        try:
            self._send(CLOSE, struct.pack("!H", 1000))
        except OSError:
            pass
        finally:
            self._reader.close()
            self._socket.close()

    def _shake_hands(self, parts: urllib.parse.SplitResult, further: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            *(f"{name}: {value}" for name, value in further.items()),
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        status = self._reader.readline().decode("latin-1").strip()
        headers = {}
        while line := self._reader.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if " 101" not in status:
            raise WebSocketError(f"the server refused the WebSocket: {status or 'it hung up'}")
        expected = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        if headers.get("sec-websocket-accept") != expected:
            raise WebSocketError("the server does not speak WebSocket")

    def _send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        length = (
            bytes([MASKED | len(payload)]) if len(payload) < 126 else struct.pack("!BH", MASKED | 126, len(payload))
        )
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([LAST | opcode]) + length + mask + masked)

    def _read_frame(self) -> tuple[bool, int, bytes]:
        head, length = self._read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return bool(head & LAST), head & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise WebSocketError("the connection was cut")
        return data
