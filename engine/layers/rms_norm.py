"""Root mean square normalization."""

from __future__ import annotations

import torch
from torch import Tensor


class RMSNorm:
    """`x / sqrt(mean(x²) + eps) * weight`, a row at a time (Zhang & Sennrich 2019, arXiv:1910.07467).

    Computes in float32 whatever the type of `x`, and returns the type of `x`.
    """

    def __init__(self, weight: Tensor, eps: float) -> None:
        """`weight`: float32 [hidden]."""
        self.weight = weight
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """[rows, hidden] -> the same."""
        return torch.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)
