"""Answers as Ollama sends them: objects, a line each, or one that has it all.

`LineStream` writes lines to one client and knows nothing of what they say. The head of the answer waits for the first
of them, so that what goes wrong until then still has a status of its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence

import orjson
from starlette.types import Send

NDJSON = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
UNHEEDED = "x-unheeded"
STALLED_S = 60.0


def unheeded_header(names: Sequence[str]) -> dict[str, str]:
    """What tells a client the names of what it asked for, and what changes nothing."""
    return {UNHEEDED: ", ".join(re.sub(r"[^\w. -]", "?", name, flags=re.ASCII) for name in names)} if names else {}


def created_at() -> str:
    """Now, as answers say it: to the nanosecond, without zeros at the end."""
    seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
    return rfc3339(seconds, fraction)


def rfc3339(seconds: float, nanoseconds: int = 0) -> str:
    """A time of day, given in Unix seconds, in the form that Go's clients parse."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{whole}{fraction}Z"


class LineStream:
    """Writes lines. A client that takes nothing for `stalled_s` seconds raises TimeoutError."""

    def __init__(self, send: Send, headers: Mapping[str, str], stalled_s: float = STALLED_S) -> None:
        self.begun = False
        self._send = send
        self._headers = {"content-type": NDJSON, "x-accel-buffering": "no", **headers}
        self._stalled_s = stalled_s

    async def line(self, value: Mapping[str, object]) -> None:
        """Send an object."""
        await self._write(orjson.dumps(value) + b"\n")

    async def end(self) -> None:
        """There is no more."""
        await self._write(b"", more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._stalled_s):
            if not self.begun:
                self.begun = True
                headers = [(name.encode(), value.encode("latin-1")) for name, value in self._headers.items()]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
