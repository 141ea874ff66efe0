"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864), over the halves of a head.

Owns the table of angles. GGUF files of the llama architecture store Q and K for rotation over adjacent pairs; the
loader puts their rows back in order (`interleaved_to_halves`), so this is the only form that is computed.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Rotary:
    """Rotates queries and keys by their positions. Dimensions past `2 * len(frequencies)` pass unchanged."""

    def __init__(self, frequencies: Tensor, positions: int) -> None:
        """`frequencies`: float32 [rotated / 2], radians a position; `positions`: how many there are at most."""
        angles = torch.outer(torch.arange(positions, dtype=torch.float32, device=frequencies.device), frequencies)
        self.cos = angles.cos().repeat(1, 2)  # [positions, rotated]
        self.sin = angles.sin().repeat(1, 2)
        self.sin[:, : len(frequencies)].neg_()  # the sign of rotate-half, once and for all

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The cosines and signed sines for a step's `positions`, each [tokens, 1, rotated]."""
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """`x`: [tokens, heads, head_dim] -> the same, rotated by what `Rotary.at` gave."""
    cos, sin = angles
    width = cos.shape[-1]
    if width < x.shape[-1]:
        return torch.cat((rotate(x[..., :width], angles), x[..., width:]), dim=-1)
    wide = x.float()
    return (wide * cos).add_(wide.roll(width // 2, -1).mul_(sin)).to(x.dtype)


def frequencies(base: float, rotated: int, scale: float = 1.0, factors: Tensor | None = None) -> Tensor:
    """Radians a position for each pair: `base ** (-2i / rotated) / scale`, each divided by its factor if there are any.

    `scale` is the factor of linear scaling; `factors` [rotated / 2] is what a Llama 3 file brings along.
    """
    result = 1.0 / (base ** (torch.arange(0, rotated, 2, dtype=torch.float32) / rotated)) / scale
    return result if factors is None else result / factors


def interleaved_to_halves(matrix: Tensor, heads: int, rotated: int) -> Tensor:
    """Put the rows of a Q or K matrix [heads * head_dim, ...], in which the rows 2i and 2i + 1 of a head turn together,
    in the order in which the rows i and i + rotated / 2 do."""
    per_head = matrix.view(heads, -1, *matrix.shape[1:])  # [heads, head_dim, ...]
    pairs = per_head[:, :rotated].reshape(heads, rotated // 2, 2, *matrix.shape[1:])
    turned = pairs.transpose(1, 2).flatten(1, 2)
    return torch.cat((turned, per_head[:, rotated:]), dim=1).flatten(0, 1)
