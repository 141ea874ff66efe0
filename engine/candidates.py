"""Finds in rows of logits the few tokens that matter, without sorting the vocabulary.

A row is seen as a grid of 64 lines, the last one filled up, and columns are reduced first: that goes over the row at
the speed of memory. Knows nothing of parameters and random numbers.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

LINES = 64


class Row(Protocol):
    """The logits of one token to pick. `best` is the likeliest token, of equals the lowest, and `peak` its logit."""

    size: int
    best: int
    peak: float

    def likeliest(self, count: int) -> tuple[Ids, Values]:
        """The `count` likeliest tokens in order, of equals the lower id first, and their logits."""
        ...

    def reaching(self, threshold: float) -> tuple[Ids, Values]:
        """All tokens with such a logit or a higher one, in the order of their ids, and their logits."""
        ...

    def total(self, scale: float) -> float:
        """The sum of e^((logit - peak) * scale) over all tokens."""
        ...

    def draw(self, scale: float, u: float) -> int:
        """Inverse sampling of `u` in [0, 1) from all tokens with these weights, column after column."""
        ...


class HostRow:
    """A row in the processor's memory."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.size = len(values)
        self.best = int(values.argmax())  # a value that is not a number counts as the highest
        self.peak = float(values[self.best])

    def likeliest(self, count: int) -> tuple[Ids, Values]:
        ids = np.flatnonzero(self._values >= self._reached_by(count)) if count < self.size else np.arange(self.size)
        values = self._values[ids]
        order = np.argsort(-values, kind="stable")[:count]
        return ids[order], values[order]

    def reaching(self, threshold: float) -> tuple[Ids, Values]:
        ids = np.flatnonzero(self._values >= threshold)
        return ids, self._values[ids]

    def total(self, scale: float) -> float:
        return float(self._weigh(scale).sum(axis=0).sum(dtype=np.float64))

    def draw(self, scale: float, u: float) -> int:
        weights = self._weigh(scale)
        reached: Floats = np.cumsum(weights.sum(axis=0), dtype=np.float64)
        column = inverse(reached, u)
        before = float(reached[column - 1]) if column else 0.0
        inside = (u * float(reached[-1]) - before) / (float(reached[column]) - before)
        line = inverse(np.cumsum(weights[:, column], dtype=np.float64), inside)
        return line * (weights.size // LINES) + column

    def _reached_by(self, count: int) -> np.float32:
        """A value that at least `count` tokens reach, and seldom many more.

        Where `count` columns have a token that reaches it, `count` tokens do.
        """
        values, columns = self._values, self.size // LINES
        if 2 * count <= columns:
            values = values[: LINES * columns].reshape(LINES, columns).max(axis=0)
        place = len(values) - count
        return np.float32(np.partition(values, place)[place])

    def _weigh(self, scale: float) -> Values:
        """Every token's weight, [LINES, columns]."""
        columns = -(-self.size // LINES)
        grid = np.zeros(LINES * columns, dtype=np.float32)
        weights = grid[: self.size]
        np.subtract(self._values, np.float32(self.peak), out=weights)
        np.multiply(weights, np.float32(scale), out=weights)
        np.exp(weights, out=weights)
        return grid.reshape(LINES, columns)


def inverse(reached: Floats, u: float) -> int:
    """The first place whose running sum is above the share `u` of the last one: never one that adds nothing."""
    total = reached[-1]
    return int(np.searchsorted(reached, min(u * total, np.nextafter(total, 0)), side="right"))
