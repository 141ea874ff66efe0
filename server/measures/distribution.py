"""How often which values occurred, in the buckets of a Prometheus histogram.

The client library's own histogram takes a lock and walks through its buckets at every value, which is dear where there
is one for each token; everything here happens on one thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf


class Distribution:
    """Counts values by the first of `bounds` that is not below them; `bounds` ascend."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.sum = 0.0
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float, times: int = 1) -> None:
        """`value` occurred, so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def buckets(self) -> list[tuple[str, float]]:
        """For every bound, in words, how many values were not above it; the last bound is +Inf."""
        total, found = 0, []
        for bound, count in zip((*self._bounds, inf), self._counts, strict=True):
            total += count
            found.append((str(float(bound)) if bound < inf else "+Inf", float(total)))
        return found
