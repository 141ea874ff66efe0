"""Finds in one row of logits the few tokens that matter, without sorting the vocabulary.

A row is seen as a grid of 64 lines, the last one filled up, and columns are reduced first: that goes over the row at
the speed of memory. Knows nothing of parameters and random numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

_LINES = 64


def likeliest(row: Row, count: int) -> Ids:
    """The `count` likeliest tokens in order; of equals the lower id first."""
    ids = np.flatnonzero(row >= _reached_by(row, count)) if count < len(row) else np.arange(len(row))
    return ids[np.argsort(-row[ids], kind="stable")[:count]]


def _reached_by(row: Row, count: int) -> np.float32:
    """A value that at least `count` tokens reach, and seldom many more.

    Where `count` columns have a token that reaches it, `count` tokens do.
    """
    columns = len(row) // _LINES
    if 2 * count <= columns:
        row = row[: _LINES * columns].reshape(_LINES, columns).max(axis=0)
    place = len(row) - count
    return np.float32(np.partition(row, place)[place])


class Weights:
    """Every token's probability in float32, up to a common factor. `scale` is one over the temperature."""

    def __init__(self, row: Row, peak: float, scale: float) -> None:
        columns = -(-len(row) // _LINES)
        grid = np.zeros(_LINES * columns, dtype=np.float32)
        weights = grid[: len(row)]
        np.subtract(row, np.float32(peak), out=weights)
        np.multiply(weights, np.float32(scale), out=weights)
        np.exp(weights, out=weights)
        self._grid = grid.reshape(_LINES, columns)
        self._reached: Floats = np.cumsum(self._grid.sum(axis=0), dtype=np.float64)  # by the columns so far

    @property
    def total(self) -> float:
        return float(self._reached[-1])

    def draw(self, u: float) -> int:
        """Inverse sampling with `u` in [0, 1), column after column."""
        column = inverse(self._reached, u)
        before = float(self._reached[column - 1]) if column else 0.0
        inside = (u * self.total - before) / (float(self._reached[column]) - before)
        line = inverse(np.cumsum(self._grid[:, column], dtype=np.float64), inside)
        return line * self._grid.shape[1] + column


def inverse(reached: Floats, u: float) -> int:
    """The first place whose running sum is above the share `u` of the last one: never one that adds nothing."""
    total = reached[-1]
    return int(np.searchsorted(reached, min(u * total, np.nextafter(total, 0)), side="right"))
