"""Matrix products whose result for a row does not depend on the other rows: floating point, in tiles of one shape.

A library's matrix product picks another kernel, with another order of additions, for another number of rows. Here it is
always asked for the same problem: `TILE_ROWS` rows, the last ones padding.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

TILE_ROWS = 16


class Linear(Protocol):
    """`x @ weight.T + bias`, row by row: [rows, in] -> [rows, out]."""

    def __call__(self, x: Tensor) -> Tensor: ...


class TiledLinear:
    """A linear layer in the type of its weights, computed 16 rows at a time."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight`: [out, in]; `bias`: [out]."""
        self.weight = weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, in] -> [rows, out]."""
        rows = x.shape[0]
        missing = -rows % TILE_ROWS
        padded = torch.cat((x, x.new_zeros(missing, x.shape[1]))) if missing else x
        tiles = [functional.linear(tile, self.weight, self.bias) for tile in torch.split(padded, TILE_ROWS)]
        return (tiles[0] if len(tiles) == 1 else torch.cat(tiles))[:rows]
