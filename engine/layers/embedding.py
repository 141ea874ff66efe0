"""The vectors of tokens, kept as the file has them: a step looks up a few rows and turns only those into numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGUFTensor


class Embedding:
    """A matrix [vocabulary, hidden] in its storage type."""

    def __init__(self, tensor: GGUFTensor, dtype: torch.dtype, device: torch.device) -> None:
        self._tensor = tensor
        self._rows = np.array(tensor.data).reshape(tensor.shape[0], -1)  # our own: the file may be cut under a mapping
        self._dtype = dtype
        self._device = device

    def __call__(self, token_ids: list[int]) -> Tensor:
        """[tokens, hidden], in the type and on the device given."""
        rows = np.ascontiguousarray(self._rows[token_ids]).reshape(-1)
        shape = (len(token_ids), self._tensor.shape[1])
        stored = GGUFTensor(self._tensor.name, shape, self._tensor.type, rows)
        return dequantize(stored).to(self._device, self._dtype)
