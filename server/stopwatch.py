"""What is measured of an answer while it is written: when its text came, and how much of it.

Knows the clock, and nothing of where the text comes from.
"""

from __future__ import annotations

from backends.base import Timings
from server.clock import Clock
from server.protocol import TimingInfo


class Stopwatch:
    """Runs from the beginning of an answer to its end. `tokens`: those that were there before."""

    def __init__(self, clock: Clock, tokens: int) -> None:
        self.tokens = tokens
        self._clock = clock
        self._began = clock.now()
        self._first_at: float | None = None
        self._last_at = self._began

    @property
    def text_came(self) -> bool:
        """Whether any text has come since it runs."""
        return self._first_at is not None

    def count(self, tokens: int) -> None:
        """Text has come, of so many tokens."""
        self._last_at = self._clock.now()
        if self._first_at is None:
            self._first_at = self._last_at
        self.tokens += tokens

    def timings(self, told: Timings, tokens: int) -> TimingInfo:
        """What the backend measured of its `tokens`; where it did not, what was seen here."""
        decoding = self._last_at - self._first_at if self._first_at is not None else 0.0
        rate = (tokens - 1) / decoding if tokens > 1 and decoding > 0 else None
        ttft = (self._first_at - self._began) * 1000 if self._first_at is not None else None
        total = (self._clock.now() - self._began) * 1000
        return TimingInfo(
            queued_ms=_rounded(told.queued_ms),
            ttft_ms=_rounded(ttft if told.ttft_ms is None else told.ttft_ms),
            total_ms=_rounded(total if told.total_ms is None else told.total_ms),
            tokens_per_second=_rounded(rate if told.tokens_per_second is None else told.tokens_per_second),
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
