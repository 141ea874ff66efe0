"""Finds the tokens that matter in logits that lie on a GPU: all rows at once, and one copy of a few numbers a row.

Only rows whose tokens are alike far beyond what is usual are copied whole. Knows nothing of parameters.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.candidates import LINES, HostRow, Ids, Row, Values

_LOW = 0xFFFFFFFF
_MAGNITUDE = 0x7FFFFFFF


@dataclass(slots=True, frozen=True)
class Wish:
    """What will be asked of a row: so many candidates, and, if `scale` is not 0, a total or a draw with `u`."""

    count: int
    scale: float
    u: float


def fetch_rows(logits: Tensor, wishes: SequenceOf[Wish]) -> list[Row]:
    """What can be asked of rows on a device: float32 [wishes, vocabulary], in one copy."""
    size = logits.shape[1]
    count = min(max(wish.count for wish in wishes), size)
    peak = logits.amax(dim=1)
    parts = [peak.double().view(torch.int64)[:, None], _keys(logits).topk(count, dim=1).values]
    if any(wish.scale for wish in wishes):
        parts.append(_draws(logits, peak, wishes))
    fetched: NDArray[np.int64] = torch.cat(parts, dim=1).cpu().numpy()
    rows = zip(fetched, logits, wishes, strict=True)
    return [_FetchedRow(numbers, count, row, wish) for numbers, row, wish in rows]


def _keys(logits: Tensor) -> Tensor:
    """One number for each logit and its id, in the order of the logits, and of equals the lower id higher."""
    bits = (logits + 0.0).view(torch.int32)  # there is one zero
    ordered = bits ^ ((bits >> 31) & _MAGNITUDE)
    return (ordered.to(torch.int64) << 32) + (_LOW - torch.arange(logits.shape[1], device=logits.device))


def _draws(logits: Tensor, peak: Tensor, wishes: SequenceOf[Wish]) -> Tensor:
    """The total and a draw of each row, int64 [wishes, 2]; the first column holds the bits of a double.

    Sums are taken in double precision, so that how a device orders them does not tell.
    """
    size = logits.shape[1]
    told = torch.tensor([(wish.scale, wish.u) for wish in wishes], dtype=torch.float64, device=logits.device)
    scale, u = told[:, :1], told[:, 1:]
    columns = -(-size // LINES)
    weights = torch.exp((logits - peak[:, None]) * scale.float())
    grid = torch.nn.functional.pad(weights, (0, LINES * columns - size)).view(-1, LINES, columns)
    reached = grid.sum(dim=1, dtype=torch.float64).cumsum(dim=1)
    total = reached[:, -1:].contiguous()
    column = _inverse(reached, u)
    before = reached.gather(1, column - 1 + (column == 0)) * (column > 0)
    inside = (u * total - before) / (reached.gather(1, column) - before)
    picked = grid.gather(2, column[:, :, None].expand(-1, LINES, 1))[:, :, 0]
    line = _inverse(picked.double().cumsum(dim=1), inside)
    return torch.cat([total.view(torch.int64), line * columns + column], dim=1)


def _inverse(reached: Tensor, u: Tensor) -> Tensor:
    """As `candidates.inverse`, for each row: [rows, places] and [rows, 1] -> [rows, 1]."""
    total = reached[:, -1:]
    target = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(reached, target, right=True).clamp(max=reached.shape[1] - 1)  # sums may be no numbers


class _FetchedRow:
    """What was fetched of a row: its peak, the keys of its likeliest tokens, and perhaps a total and a draw."""

    def __init__(self, numbers: NDArray[np.int64], count: int, row: Tensor, wish: Wish) -> None:
        self.size = len(row)
        self.peak = float(numbers[:1].view(np.float64)[0])
        keys = numbers[1 : count + 1]
        self._ids: Ids = _LOW - (keys & _LOW)
        ordered = (keys >> 32).astype(np.int32)
        self._values: Values = (ordered ^ ((ordered >> 31) & _MAGNITUDE)).view(np.float32)
        self._draws = numbers[count + 1 :]
        self._row = row
        self._wish = wish
        self.best = int(self._ids[0])

    def likeliest(self, count: int) -> tuple[Ids, Values]:
        if count > len(self._ids):
            return self._whole().likeliest(count)
        return self._ids[:count], self._values[:count]

    def reaching(self, threshold: float) -> tuple[Ids, Values]:
        if len(self._ids) < self.size and self._values[-1] >= threshold:
            return self._whole().reaching(threshold)
        kept = self._values >= threshold
        ids, values = self._ids[kept], self._values[kept]
        order = np.argsort(ids)
        return ids[order], values[order]

    def total(self, scale: float) -> float:
        assert scale == self._wish.scale, "another total was wished for"
        return float(self._draws[:1].view(np.float64)[0])

    def draw(self, scale: float, u: float) -> int:
        assert (scale, u) == (self._wish.scale, self._wish.u), "another draw was wished for"
        return int(self._draws[1])

    def _whole(self) -> HostRow:
        return HostRow(self._row.cpu().numpy())
