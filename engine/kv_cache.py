"""Where keys and values lie: blocks of `BLOCK` positions, in every layer.

Storage only: which block belongs to whom is `block_manager.py`'s. A position of a sequence has a slot, which is
`block * BLOCK + position % BLOCK` of the block that the position lies in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.step import BLOCK

KVType = Literal["float32", "bfloat16", "int8"]
_SCALE = torch.float32
_SMALLEST = 1e-30  # a row of zeros is divided by this instead of by 0


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


@dataclass(slots=True, frozen=True)
class KVShape:
    """How much there is to keep of one position."""

    layers: int
    kv_heads: int
    head_dim: int

    def bytes_per_block(self, kind: KVType) -> int:
        """The memory that one block takes in all layers."""
        row = {"float32": 4 * self.head_dim, "bfloat16": 2 * self.head_dim, "int8": self.head_dim + _SCALE.itemsize}
        return 2 * self.layers * self.kv_heads * BLOCK * row[kind]


class TensorKVCache:
    """A cache in tensors. On a processor memory is taken from the system as blocks are first used."""

    def __init__(self, shape: KVShape, blocks: int, kind: KVType, dtype: torch.dtype, device: torch.device) -> None:
        """`kind` is how rows are kept, `dtype` how they come in and out."""
        # Heads outside: blocks that are read one after the other come out as one matrix a head.
        size = (shape.layers, shape.kv_heads, blocks, BLOCK, shape.head_dim)
        self._keys, self._values = _make_store(size, kind, dtype, device), _make_store(size, kind, dtype, device)
        self.blocks = blocks

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for store in (self._keys, self._values) for tensor in store.tensors)

    def copy(self, source: int, target: int) -> None:
        for store in (self._keys, self._values):
            for tensor in store.tensors:
                tensor[:, :, target] = tensor[:, :, source]

    def write(self, layer: int, keys: Tensor, values: Tensor, slots: Tensor) -> None:
        """Keep `keys` and `values`, each [tokens, kv_heads, head_dim], in `slots` [tokens]."""
        self._keys.write(layer, keys.transpose(0, 1), slots)
        self._values.write(layer, values.transpose(0, 1), slots)

    def clear(self, slots: Tensor) -> None:
        """Put values that are numbers into `slots`, in all layers.

        A masked position has a weight of 0, but 0 times what an unused slot may hold is not always 0.
        """
        for tensor in self._values.tensors:
            tensor.flatten(2, 3).index_fill_(2, slots, 0)

    def read(self, layer: int, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """The keys and values in `blocks` [n]: each [kv_heads, n * BLOCK, head_dim]."""
        return self._keys.read(layer, blocks).flatten(1, 2), self._values.read(layer, blocks).flatten(1, 2)


class _Store(Protocol):
    """Rows of `head_dim` numbers. `tensors` are what they lie in, each [layers, kv_heads, blocks, BLOCK, ...]."""

    tensors: tuple[Tensor, ...]

    def write(self, layer: int, rows: Tensor, slots: Tensor) -> None:
        """Keep `rows` [kv_heads, tokens, head_dim] in `slots` [tokens]."""
        ...

    def read(self, layer: int, blocks: Tensor) -> Tensor:
        """What is in `blocks` [n]: [kv_heads, n, BLOCK, head_dim]."""
        ...


def _make_store(size: tuple[int, ...], kind: KVType, dtype: torch.dtype, device: torch.device) -> _Store:
    if kind == "int8":
        return _ScaledStore(size, dtype, device)
    return _PlainStore(torch.empty(size, dtype=getattr(torch, kind), device=device), dtype)


class _PlainStore:
    """Rows as floating-point numbers of some type."""

    def __init__(self, rows: Tensor, dtype: torch.dtype) -> None:
        self.tensors: tuple[Tensor, ...] = (rows,)
        self._dtype = dtype

    def write(self, layer: int, rows: Tensor, slots: Tensor) -> None:
        _put(self.tensors[0][layer], slots, rows)

    def read(self, layer: int, blocks: Tensor) -> Tensor:
        return self.tensors[0][layer].index_select(1, blocks).to(self._dtype)


class _ScaledStore:
    """Rows as 8-bit integers, each with the scale that makes its largest number 127."""

    def __init__(self, size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        rows = torch.empty(size, dtype=torch.int8, device=device)
        scales = torch.empty((*size[:-1], 1), dtype=_SCALE, device=device)
        self.tensors: tuple[Tensor, ...] = (rows, scales)
        self._dtype = dtype

    def write(self, layer: int, rows: Tensor, slots: Tensor) -> None:
        wide = rows.to(_SCALE)
        scales = wide.abs().amax(-1, keepdim=True).clamp_min_(_SMALLEST).div_(127)
        for tensor, values in zip(self.tensors, ((wide / scales).round_(), scales), strict=True):
            _put(tensor[layer], slots, values)

    def read(self, layer: int, blocks: Tensor) -> Tensor:
        rows, scales = (tensor[layer].index_select(1, blocks) for tensor in self.tensors)
        return (rows * scales).to(self._dtype)


def _put(store: Tensor, slots: Tensor, rows: Tensor) -> None:
    """`store` [kv_heads, blocks, BLOCK, n], `slots` [tokens], `rows` [kv_heads, tokens, n]"""
    store.flatten(1, 2).index_copy_(1, slots, rows.to(store.dtype))
