"""How long models stay in memory after their last answer, where somebody who asked them has said so.

Where nobody has, that is their backend's business. Knows nothing of answers but that they begin and end.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from backends.base import BackendError
from server.clock import Clock, Timer

log = structlog.get_logger()


class Residence:
    """Unloads models by their full names, through `unload`, when their time is over."""

    def __init__(self, unload: Callable[[str], Awaitable[None]], clock: Clock) -> None:
        self._unload = unload
        self._clock = clock
        self._users: Counter[str] = Counter()
        self._timers: dict[str, Timer] = {}
        self._ends: dict[str, float] = {}
        self._unloading: set[asyncio.Task[None]] = set()

    def ends_at(self, model: str) -> float | None:
        """When `model` leaves memory unless it is used, in Unix seconds; None: not by what anybody has said."""
        return self._ends.get(model)

    @contextmanager
    def used(self, model: str, keep_alive: float | None) -> Iterator[None]:
        """Within this context `model` is used; after the last such use it stays for `keep_alive` seconds.

        None leaves that to the backend, infinity is for ever. What is said last counts.
        """
        self._users[model] += 1
        self._forget(model)
        try:
            yield
        finally:
            self._users[model] -= 1
            self._forget(model)
            if keep_alive is not None and keep_alive < math.inf and not self._users[model]:
                self._ends[model] = self._clock.today() + keep_alive
                self._timers[model] = self._clock.call_later(keep_alive, lambda: self._due(model))

    async def close(self) -> None:
        """Unload nothing any more."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._unloading:
            task.cancel()
        if self._unloading:
            await asyncio.wait(self._unloading)

    def _forget(self, model: str) -> None:
        self._ends.pop(model, None)
        if (timer := self._timers.pop(model, None)) is not None:
            timer.cancel()

    def _due(self, model: str) -> None:
        self._forget(model)
        task = asyncio.get_running_loop().create_task(self._end(model))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _end(self, model: str) -> None:
        try:
            await self._unload(model)
        except BackendError as error:
            log.warning("a model could not be unloaded", model=model, reason=error.message)
