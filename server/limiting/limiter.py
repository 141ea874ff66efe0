"""How many requests that start work each client may make. Counts, and knows neither paths nor frames.

Whoever came with a key is counted by it, from wherever they come; everybody else by their address.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from limits import RateLimitItem, parse_many
from starlette.types import Scope

from server.admission import is_this_machine
from server.caller import caller_of
from server.clock import Clock
from server.limiting.stores import open_store

OFF = "off"
PATIENCE_S = 0.25  # for an answer of the store: every request waits for it


@dataclass(slots=True, frozen=True)
class Verdict:
    """What became of one request. `wait_s`: how long until another try has a chance; 0 where this one may go on.

    Of the `limit` requests in a window `remaining` are left. The window that is being counted ends `resets_at`, in
    Unix seconds.
    """

    limit: int
    remaining: int
    resets_at: float
    wait_s: float


class RateLimiter:
    """Counts the requests of each client against `rate`: such as `100/minute`, several of them, or `off`.

    `store` is where the counts are kept; one that does not answer within `patience_s` is taken to be gone. Requests
    made on this very machine, and not passed on by a proxy, count only if `loopback` says so. Raises ValueError for a
    rate or a store that cannot be used.
    """

    def __init__(
        self,
        rate: str,
        store: str = "memory://",
        clock: Clock | None = None,
        *,
        loopback: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.refused = 0
        self._rates = parse_rates(rate)
        self._loopback = loopback
        self._clock = clock or Clock()
        self._store, self.close = open_store(store, self._clock, patience_s)

    def whom(self, scope: Scope) -> str | None:
        """Whom requests of that scope count for; None where they are not counted."""
        if not self._rates:
            return None
        caller = caller_of(scope)
        if caller.key_id is not None:
            return f"key {caller.key_id}"
        peer = scope["client"][0] if scope.get("client") else ""
        direct = not scope.get("state", {}).get("proxied", False)
        return None if direct and not self._loopback and is_this_machine(peer) else f"client {caller.client}"

    async def take(self, whom: str | None) -> Verdict | None:
        """Count one more request. Gives the verdict of the rate that refuses it, else of the one with least left.

        None where nothing is counted.
        """
        if whom is None:
            return None
        verdicts = []
        for rate in self._rates:
            taken = await self._take(rate, whom)
            if taken.wait_s > 0:
                self.refused += 1
                return taken
            verdicts.append(taken)
        return min(verdicts, key=lambda verdict: verdict.remaining)

    async def _take(self, rate: RateLimitItem, whom: str) -> Verdict:
        key, limit, expiry = rate.key_for(whom), rate.amount, rate.get_expiry()
        fits = await self._store.acquire_sliding_window_entry(key, limit, expiry)
        before, weighs, now, lasts = await self._store.get_sliding_window(key, expiry)
        remaining = max(0, limit - floor(before * weighs / expiry + now))
        wait = 0.0 if fits else max(0.001, until_room(limit, expiry, (before, weighs, now, lasts)))
        return Verdict(limit, remaining, self._clock.today() + lasts - expiry, wait)


def until_room(limit: int, expiry: int, window: tuple[int, float, int, float]) -> float:
    """Seconds until another request fits, in a window as a store has it.

    The window before weighs less and less; when it has passed, this one is the one before and begins to.
    """
    before, weighs, now, lasts = window
    if now < limit:
        return weighs - (limit - now) * expiry / before if before else 0.0
    return lasts - expiry * limit / now


def parse_rates(text: str) -> list[RateLimitItem]:
    """The rates of `RATE_LIMIT`, in the words of the library `limits`; none when it is off. Raises ValueError."""
    return [] if text.strip().lower() == OFF else parse_many(text)
