"""Requests counted in sliding windows, in the memory of this process: for many clients, but never for too many.

Two counters a client: of the window of time that runs, and of the one before it, which weighs less the older it gets.
That is how the library `limits` counts in Redis, too. Its own counters in memory have no bound, and are looked through
from end to end at every request, which a flood from a hundred thousand addresses would make dear.
"""

from __future__ import annotations

from collections import OrderedDict
from math import floor
from typing import NamedTuple

from server.clock import Clock

MAX_KEYS = 20_000


class Counts(NamedTuple):
    """`window` numbers the windows of `expiry` seconds since the clock's beginning."""

    window: int
    expiry: int
    before: int
    now: int


class Windows:
    """The counters by key. The one that was used longest ago is forgotten first: when it is idle, or one too many."""

    def __init__(self, clock: Clock, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._counts: OrderedDict[str, Counts] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` requests of `key`, unless that makes more than `limit` in `expiry` seconds."""
        before, weighs, now, _ = await self.get_sliding_window(key, expiry)
        fits = floor(before * weighs / expiry + now) + amount <= limit
        window = int(self._clock.now() / expiry)
        self._counts[key] = Counts(window, expiry, before, now + amount if fits else now)
        self._counts.move_to_end(key)
        self._forget()
        return fits

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Requests in the window before, and the seconds that they still weigh; the same of the window that runs."""
        at = self._clock.now()
        window, left = int(at / expiry), expiry - at % expiry
        known = self._counts.get(key)
        if known is None or known.window < window - 1:
            return 0, left, 0, left + expiry
        before, now = (known.before, known.now) if known.window == window else (known.now, 0)
        return before, left, now, left + expiry

    def _forget(self) -> None:
        at = self._clock.now()
        while self._counts:
            key, oldest = next(iter(self._counts.items()))
            if len(self._counts) <= self._max_keys and at < (oldest.window + 2) * oldest.expiry:
                return
            del self._counts[key]
