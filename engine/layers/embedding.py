"""The vectors of tokens."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.layers.layout import StepLayout
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGUFTensor


class StoredEmbedding:
    """Kept as the file has them, in the processor's memory: a step turns only the rows it looks up into numbers."""

    def __init__(self, tensor: GGUFTensor, dtype: torch.dtype) -> None:
        """`tensor`: [vocabulary, hidden]."""
        self._tensor = tensor
        self._rows = np.array(tensor.data).reshape(tensor.shape[0], -1)  # our own: the file may be cut under a mapping
        self._dtype = dtype

    def __call__(self, layout: StepLayout) -> Tensor:
        """[tokens, hidden]"""
        rows = self._rows[layout.token_ids.numpy()]
        stored = GGUFTensor(self._tensor.name, (len(rows), self._tensor.shape[1]), self._tensor.type, rows.reshape(-1))
        return dequantize(stored).to(self._dtype)


class DenseEmbedding:
    """Kept as numbers, wherever the matrix lies."""

    def __init__(self, matrix: Tensor) -> None:
        """`matrix`: [vocabulary, hidden]."""
        self._matrix = matrix

    def __call__(self, layout: StepLayout) -> Tensor:
        """[tokens, hidden]"""
        return self._matrix[layout.token_ids]
