"""Waiting for a stream with an eye on the clock. Knows neither what streams nor what a timeout means to people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Patience:
    """Seconds: until the `first` item, `between` two items, and from one sign of silence to the next (`tick`)."""

    first: float
    between: float
    tick: float = 1.0


class Silence(Exception):
    """Nothing came for as long as patience lasted. `begun` tells whether anything ever had."""

    def __init__(self, seconds: float, *, begun: bool) -> None:
        super().__init__(f"nothing came for {seconds:g} seconds")
        self.seconds = seconds
        self.begun = begun


async def watch(source: AsyncGenerator[T, None], patience: Patience) -> AsyncGenerator[T | None, None]:
    """Hand on the items of `source`, and None for each tick that passes without one. Raises Silence.

    The source runs in one task from its first step to its closing, as its cancel scopes need; closing this generator
    cancels that task and waits for it. It is never more than a few items ahead of its reader.
    """
    items: asyncio.Queue[T | _End] = asyncio.Queue(maxsize=8)
    pump = asyncio.create_task(_pump(source, items))
    loop = asyncio.get_running_loop()
    begun, since = False, loop.time()
    try:
        while True:
            limit = patience.between if begun else patience.first
            left = since + limit - loop.time()
            if left <= 0:
                raise Silence(limit, begun=begun)
            try:
                async with asyncio.timeout(min(patience.tick, left)):
                    item = await items.get()
            except TimeoutError:
                yield None
                continue
            if isinstance(item, _End):
                item.reraise()
                return
            yield item
            begun, since = True, loop.time()
    finally:
        pump.cancel()
        await asyncio.wait({pump})


@dataclass(slots=True, frozen=True)
class _End:
    error: Exception | None

    def reraise(self) -> None:
        if self.error is not None:
            raise self.error


async def _pump(source: AsyncGenerator[T, None], items: asyncio.Queue[T | _End]) -> None:
    error = None
    try:
        async with aclosing(source):
            async for item in source:
                await items.put(item)
    except Exception as caught:
        error = caught  # raised again where the items are read
    await items.put(_End(error))
