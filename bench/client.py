"""Asks a server's `POST /v1/completions` for streams, and notes when each piece came.

Written on bare sockets: the client shares the processor with the server that it measures, and a library's HTTP costs
several times as much for each piece. Speaks just enough HTTP/1.1 for the servers that are measured here.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAX_LINE = 1 << 20  # bytes


class RequestFailed(Exception):
    """The server refused or broke off."""


@dataclass(slots=True, frozen=True)
class Answer:
    """What came, and when, on the clock of `time.perf_counter`: seconds."""

    sent: float
    times: tuple[float, ...]  # of each piece of text
    pieces: tuple[str, ...]
    ended: float
    prompt_tokens: int
    completion_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def first_token_s(self) -> float:
        """Seconds from the request to the first text."""
        return self.times[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        """Seconds between one piece and the next."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]

    def tokens_between(self, start: float, end: float) -> float:
        """How many tokens came after `start`, up to `end`. A piece may hold several: they are shared out by letters."""
        letters = sum(len(piece) for at, piece in zip(self.times, self.pieces, strict=True) if start < at <= end)
        return self.completion_tokens * letters / max(1, len(self.text))


async def complete(address: str, prompt: str, max_tokens: int, extra: Mapping[str, object] | None = None) -> Answer:
    """The greedy answer to `prompt`; `extra` goes into the request as well. Raises RequestFailed."""
    body = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **(extra or {}),
    }
    times: list[float] = []
    pieces: list[str] = []
    usage: dict[str, int] = {}
    sent = time.perf_counter()
    async for event in _events(address, "/v1/completions", json.dumps(body).encode()):
        now = time.perf_counter()
        if "error" in event:
            raise RequestFailed(json.dumps(event["error"]))
        usage = event.get("usage") or usage
        text = "".join(choice["text"] for choice in event["choices"])
        if text:
            times.append(now)
            pieces.append(text)
    if not times or not usage:
        raise RequestFailed("The stream ended without text or without its usage.")
    return Answer(
        sent,
        tuple(times),
        tuple(pieces),
        time.perf_counter(),
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


async def _events(address: str, path: str, body: bytes) -> AsyncIterator[dict[str, Any]]:
    where = urlsplit(address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=MAX_LINE)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        status = await reader.readline()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in status:
            raise RequestFailed(status.decode().strip() + " " + (await reader.read(500)).decode(errors="replace"))
        if b"transfer-encoding: chunked" not in head:
            raise RequestFailed("The answer is no stream.")
        async for event in parse_events(_chunks(reader)):
            yield event
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]


async def parse_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, cut anywhere. The mark of the end is left out."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and line[6:].strip() != b"[DONE]":
                yield json.loads(line[6:])
