"""Calls to an Ollama server: JSON answers, and streams of lines read with an eye on the clock.

Knows how the server is reached and when it is too slow; knows nothing of what the lines say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.base import BackendError, BackendFailed, BackendTimeout
from backends.http import Upstream, base_url
from backends.ndjson import BadLine, LineReader
from backends.patience import Patience, Silence, watch

if TYPE_CHECKING:
    import httpx

DEFAULT_PORT = 11434
DRAIN_TIMEOUT = 2.0  # seconds for the end of a body whose last line was read

Line = dict[str, object]


@dataclass(slots=True, frozen=True)
class Call:
    """One POST whose answer is a stream of lines."""

    path: str
    body: dict[str, object]


class OllamaClient:
    """The server at `host`; empty: the usual address on this machine. Raises ValueError for what is no address."""

    def __init__(
        self,
        host: str,
        *,
        connect_timeout: float,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._upstream = Upstream(
            _address(host),
            name="Ollama",
            hint=_hint(host),
            connect_timeout=connect_timeout,
            headers=headers,
            transport=transport,
        )

    async def alive(self) -> None:
        """Raise a BackendError unless a server answers."""
        await self._upstream.alive("/")

    async def get(self, path: str, *, timeout: float = 4.0) -> object:
        """The JSON at `path`. Raises StatusError or a BackendError."""
        return await self._upstream.fetch("GET", path, timeout=timeout)

    async def post(self, call: Call, *, timeout: float) -> object:
        """The whole answer's JSON. Raises StatusError or a BackendError."""
        return await self._upstream.fetch("POST", call.path, call.body, timeout=timeout)

    async def lines(self, call: Call, patience: Patience) -> AsyncGenerator[Line | None, None]:
        """The lines of a streamed answer, and None for each second of silence. Raises StatusError or a BackendError.

        Closing the generator closes the connection, and with that the work behind it.
        """
        try:
            async with aclosing(watch(self._read(call), patience)) as lines:
                async for line in lines:
                    yield line
        except Silence as silence:
            raise _timed_out(silence) from silence
        except BadLine as error:
            raise BackendFailed("Ollama sent an answer that cannot be read. Try again.") from error

    async def close(self) -> None:
        await self._upstream.close()

    async def _read(self, call: Call) -> AsyncGenerator[Line, None]:
        reader = LineReader()
        async with self._upstream.stream("POST", call.path, call.body) as chunks:
            async for chunk in chunks:
                for line in reader.feed(chunk):
                    yield line
        try:
            for line in reader.finish():
                yield line
        except BadLine as error:
            raise cut() from error


async def drain(lines: AsyncGenerator[Line | None, None]) -> None:
    """Read a finished answer's body to its end: a connection closed a moment too early can cost the server a slot."""
    with suppress(BackendError, TimeoutError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in lines:
                pass


def cut() -> BackendFailed:
    """For an answer that ended without its last line."""
    return BackendFailed("Ollama's answer was cut off before its end. What came of it is kept; try again.")


def _timed_out(silence: Silence) -> BackendTimeout:
    if silence.begun:
        return BackendTimeout(f"Ollama fell silent for {silence.seconds:g} seconds in mid-answer. Try again.")
    return BackendTimeout(
        f"Ollama did not begin to answer within {silence.seconds:g} seconds. "
        "It may be busy, or the model too large for its machine: try again, or pick a smaller model."
    )


def _address(host: str) -> str:
    try:
        return base_url(host or "127.0.0.1", DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"OLLAMA_HOST={error}") from error


def _hint(host: str) -> str:
    if not host:
        return "Ollama does not run on this machine. Start it with `ollama serve`, or set OLLAMA_HOST in .env."
    hint = "Nothing answers at OLLAMA_HOST. Start Ollama there with `ollama serve`, or mend the address in .env."
    names_port = host.rstrip("/").rpartition(":")[2].isdigit()
    if "://" in host and not names_port:
        hint += f" The address names no port; Ollama's own is {DEFAULT_PORT}."
    return hint
