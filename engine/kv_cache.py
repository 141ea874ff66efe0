"""Where keys and values lie: blocks of `BLOCK` positions, in every layer.

Storage only: which block belongs to whom is `block_manager.py`'s. A position of a sequence has a slot, which is
`block * BLOCK + position % BLOCK` of the block that the position lies in.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from engine.step import BLOCK


class KVCache(Protocol):
    """What everybody but the model itself does with a cache."""

    @property
    def blocks(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Memory for all blocks, whether they are in use or not."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make the block `target` say in all layers what the block `source` says."""
        ...


class TensorKVCache:
    """A cache in tensors. Memory is taken from the system as blocks are first used."""

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        # Heads outside: blocks that are read one after the other come out as one matrix a head.
        shape = (layers, kv_heads, blocks, BLOCK, head_dim)
        self._keys = torch.empty(shape, dtype=dtype, device=device)
        self._values = torch.empty(shape, dtype=dtype, device=device)
        self.blocks = blocks

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._values.nbytes

    def copy(self, source: int, target: int) -> None:
        for store in (self._keys, self._values):
            store[:, :, target] = store[:, :, source]

    def write(self, layer: int, keys: Tensor, values: Tensor, slots: Tensor) -> None:
        """Keep `keys` and `values`, each [tokens, kv_heads, head_dim], in `slots` [tokens]."""
        for store, rows in ((self._keys, keys), (self._values, values)):
            store[layer].flatten(1, 2).index_copy_(1, slots, rows.transpose(0, 1).to(store.dtype))

    def clear(self, slots: Tensor) -> None:
        """Put values that are numbers into `slots`, in all layers.

        A masked position has a weight of 0, but 0 times what an unused slot may hold is not always 0.
        """
        self._values.flatten(2, 3).index_fill_(2, slots, 0)

    def read(self, layer: int, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values in `blocks` [n]: each [kv_heads, n * BLOCK, head_dim]."""
        return (
            self._keys[layer].index_select(1, blocks).flatten(1, 2),
            self._values[layer].index_select(1, blocks).flatten(1, 2),
        )


def bytes_per_token(layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> int:
    """The memory that one position takes in all layers."""
    return 2 * layers * kv_heads * head_dim * dtype.itemsize
