"""WebSocket frames as bytes, made once for however many sockets they go to: what a server sends is not masked.

Knows the frame's layout (RFC 6455, section 5.2); nothing of sockets or of what the texts say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache

FIN_TEXT = 0x81
SHARED = 4096  # characters: longer texts, such as snapshots, are not worth being kept for the next reader
EXTENSION = "switchboard.frames"  # in a WebSocket's scope, where the server has it: a `WriteFrames`

WriteFrames = Callable[[bytes], Awaitable[None]]  # sends whole frames in one write; OSError: nobody is there


def text_frame(text: str) -> bytes:
    """`text` as one frame."""
    return _shared(text) if len(text) <= SHARED else _framed(text)


def _framed(text: str) -> bytes:
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return bytes((FIN_TEXT, length)) + payload
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2) + payload
    return b"\x81\x7f" + length.to_bytes(8) + payload


_shared = lru_cache(maxsize=128)(_framed)  # many readers ask for the newest events one after the other
