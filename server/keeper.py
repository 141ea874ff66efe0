"""The history, once it can be opened: whoever needs it asks here, and gets it or a sentence why not.

An opening that fails is tried again when somebody asks, but not too often. Knows nothing of what is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from server.clock import Clock
from server.history.records import Change, HistoryError
from server.history.store import History

REOPEN_S = 5.0
OFF = "Conversations are not being saved. DATABASE_URL is off."


class Keeper:
    """Opens the history by `opener`, as often as it takes. Without one nothing is kept."""

    def __init__(self, opener: Callable[[], Awaitable[History]] | None, clock: Clock) -> None:
        self._opener = opener
        self._clock = clock
        self._opening = asyncio.Lock()
        self._opened: History | None = None
        self._problem = ""
        self._again_at = 0.0

    @property
    def enabled(self) -> bool:
        """Whether there is to be a history at all."""
        return self._opener is not None

    async def history(self) -> History:
        """The open history. Raises HistoryError while there is none."""
        if self._opener is None:
            raise HistoryError(OFF)
        async with self._opening:
            if self._opened is None:
                if self._clock.now() < self._again_at:
                    raise HistoryError(self._problem)
                await self._open(self._opener)
            assert self._opened is not None
            return self._opened

    async def write(self, changes: Sequence[Change]) -> None:
        """Write all of `changes` or nothing. Raises HistoryError."""
        await (await self.history()).write(changes)

    async def close(self) -> None:
        """Give the history back."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
        self._opener = None

    async def _open(self, opener: Callable[[], Awaitable[History]]) -> None:
        try:
            self._opened = await opener()
        except HistoryError as error:
            self._problem, self._again_at = str(error), self._clock.now() + REOPEN_S
            raise
