"""Where the keys and values of all sequences lie: a pool of blocks, handed out and taken back.

Knows nothing of sequences: a sequence holds a list of block numbers, its position `p` lies in block `p // BLOCK` of it.
"""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

BLOCK = 256  # positions a block


class KVCache:
    """Keys and values for `blocks * BLOCK` positions in every layer. Memory is taken as blocks are first used."""

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (layers, blocks, kv_heads, BLOCK, head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.blocks = blocks
        self._free = list(range(blocks))

    @property
    def free_blocks(self) -> int:
        return len(self._free)

    def allocate(self) -> int:
        """A free block, the lowest there is: what is in use stays together, and attention need not gather it."""
        block = heapq.heappop(self._free)
        self.keys[:, block].zero_()  # a masked position is multiplied by 0, which a leftover infinity would survive
        self.values[:, block].zero_()
        return block

    def free(self, block: int) -> None:
        heapq.heappush(self._free, block)

    def write(self, layer: int, keys: Tensor, values: Tensor, blocks: Tensor, offsets: Tensor) -> None:
        """Keep `keys` and `values` [tokens, kv_heads, head_dim] at `offsets` [tokens] of `blocks` [tokens]."""
        self.keys[layer][blocks, :, offsets] = keys
        self.values[layer][blocks, :, offsets] = values


def bytes_per_token(layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> int:
    """The memory that one position takes in all layers."""
    return 2 * layers * kv_heads * head_dim * dtype.itemsize


def blocks_for(tokens: int) -> int:
    """The blocks that hold `tokens` positions."""
    return -(-tokens // BLOCK)
