"""Calls to a model server: JSON answers, and streams of records read with an eye on the clock.

Knows how the server is reached, in which frames its records come and when it is too slow; knows nothing of what they
say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backends.base import BackendError, BackendFailed, BackendTimeout
from backends.http import Upstream
from backends.ndjson import BadLine
from backends.patience import Patience, Silence, watch
from backends.wording import sentence

DRAIN_TIMEOUT = 2.0  # seconds for the end of a body whose last record was read

Record = dict[str, object]
T = TypeVar("T")


class Frames(Protocol):
    """Takes bytes apart into records. Either method may raise BadLine."""

    def feed(self, chunk: bytes) -> Iterator[Record]:
        """Those that `chunk` completes."""

    def finish(self) -> Iterator[Record]:
        """The one that only the end of the body completes."""


@dataclass(slots=True, frozen=True)
class Call:
    """One POST whose answer is a stream of records. `request_id` is told to the server, for its log."""

    path: str
    body: dict[str, object]
    request_id: str = ""


class Calls:
    """Calls to the server behind `upstream`, which people call `name`.

    `frames` are what its streams may come in, by a word of the content type.
    """

    def __init__(self, upstream: Upstream, name: str, frames: Mapping[str, Callable[[], Frames]]) -> None:
        self._upstream = upstream
        self._name = name
        self._frames = frames

    async def alive(self) -> None:
        """Raise a BackendError unless a server answers."""
        await self._upstream.alive("/")

    async def get(self, path: str, *, timeout: float = 4.0) -> object:
        """The JSON at `path`. Raises StatusError or a BackendError."""
        return await self._upstream.fetch("GET", path, timeout=timeout)

    async def post(self, call: Call, *, timeout: float) -> object:
        """The whole answer's JSON. Raises StatusError or a BackendError."""
        return await self._upstream.fetch("POST", call.path, call.body, timeout=timeout)

    async def records(self, call: Call) -> AsyncGenerator[Record, None]:
        """The records of a streamed answer, however long they take. Raises StatusError or a BackendError.

        Closing the generator closes the connection, and with that the work behind it.
        """
        kinds = tuple(self._frames)
        try:
            told = {"x-request-id": call.request_id} if call.request_id else None
            async with self._upstream.stream("POST", call.path, call.body, kinds, told) as (kind, chunks):
                frames = self._frames[kind]()
                async for chunk in chunks:
                    for record in frames.feed(chunk):
                        yield record
        except BadLine as error:
            message = f"{self._name} sent an answer that cannot be read. Try again."
            raise BackendFailed(sentence(message)) from error
        try:
            for record in frames.finish():
                yield record
        except BadLine as error:
            raise cut_off(self._name) from error

    async def watched(self, source: AsyncGenerator[T, None], patience: Patience) -> AsyncGenerator[T | None, None]:
        """What `source` makes of records, and None for each second of silence. Raises BackendTimeout, and what it does.

        Closing the generator closes the source.
        """
        try:
            async with aclosing(watch(source, patience)) as items:
                async for item in items:
                    yield item
        except Silence as silence:
            raise self._timed_out(silence) from silence

    async def close(self) -> None:
        await self._upstream.close()

    def _timed_out(self, silence: Silence) -> BackendTimeout:
        seconds = f"{silence.seconds:g} seconds"
        if silence.begun:
            return BackendTimeout(sentence(f"{self._name} fell silent for {seconds} in mid-answer. Try again."))
        late = f"{self._name} did not begin to answer within {seconds}. "
        advice = "It may be busy, or the model too large for its machine: try again, or pick a smaller model."
        return BackendTimeout(sentence(late + advice))


def cut_off(name: str) -> BackendFailed:
    """For an answer that ended without its end mark."""
    message = f"{name}'s answer was cut off before its end. What came of it is kept; try again."
    return BackendFailed(sentence(message))


async def drain(items: AsyncGenerator[T, None]) -> None:
    """Read a finished answer's body to its end: a connection closed a moment too early can cost the server a slot."""
    with suppress(BackendError, TimeoutError):
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in items:
                pass
