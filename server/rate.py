"""How often one connection may ask for something. Knows nothing of what it asks for."""

from __future__ import annotations

from server.clock import Clock


class TokenBucket:
    """Lets `rate` things a second happen, and `burst` at once after a silence."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = float(burst)
        self._at = clock.now()

    def take(self) -> float:
        """Take one. Gives 0, or the seconds until there is one to take."""
        now = self._clock.now()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0
