"""A model computed by the kernels' library: its cache, its weights, and a step in one call.

Owns the memory that the library's structs point into. Knows nothing of files or of where the library comes from.
"""

from __future__ import annotations

import ctypes
from ctypes import byref
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.kernels.interface import (
    PARTS,
    CacheStruct,
    LayerStruct,
    NativeLibrary,
    ShapeStruct,
    SpanStruct,
    StepStruct,
    WeightsStruct,
)
from engine.kernels.matrix import Matrix
from engine.kv_cache import KVType
from engine.step import StepInput, blocks_for

_KV_TYPES: dict[KVType, int] = {"float32": 0, "bfloat16": 1, "int8": 2}


class NativeKVCache:
    """Keys and values of `blocks` blocks in all layers. Memory is taken as blocks are first used."""

    def __init__(
        self, library: NativeLibrary, layers: int, kv_heads: int, head_dim: int, blocks: int, kv_type: KVType
    ) -> None:
        kind = _KV_TYPES[kv_type]
        block_bytes = library.handle.cache_block_bytes(head_dim, kind)
        self._memory: NDArray[np.uint8] = np.zeros((layers * kv_heads, blocks, block_bytes), np.uint8)
        self.blocks = blocks
        self.struct = CacheStruct(layers, blocks, kv_heads, head_dim, kind, block_bytes, self._memory.ctypes.data)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    def copy(self, source: int, target: int) -> None:
        """Copy a block in all layers."""
        self._memory[:, target] = self._memory[:, source]


@dataclass(slots=True, frozen=True, eq=False)
class LayerWeights:
    """What one layer computes with. The norms are float32 [hidden]."""

    attention_norm: Tensor
    qkv: Matrix
    output: Matrix
    feed_forward_norm: Tensor
    gate_up: Matrix
    down: Matrix


@dataclass(slots=True, frozen=True, eq=False)
class ModelWeights:
    """Everything a model computes with. `cosines` and `sines`: float32 [positions, rotated / 2]."""

    layers: list[LayerWeights]
    norm: Tensor
    embedding: Matrix
    head: Matrix
    cosines: Tensor
    sines: Tensor


class NativeModel:
    """A model's forward pass in one call, on threads of its own."""

    def __init__(
        self,
        library: NativeLibrary,
        weights: ModelWeights,
        *,
        heads: int,
        kv_heads: int,
        head_dim: int,
        rotated: int,
        eps: float,
        threads: int,
    ) -> None:
        self._library = library
        self._weights = weights  # the library only points at them
        self.nanoseconds: NDArray[np.int64] = np.zeros(len(PARTS), np.int64)
        first = weights.layers[0]
        self._widest = max(first.qkv.columns, first.output.columns, first.down.columns)
        shape = ShapeStruct(
            len(weights.layers),
            first.qkv.columns,
            first.down.columns,
            heads,
            kv_heads,
            head_dim,
            rotated,
            weights.head.rows,
            eps,
        )
        layers = (LayerStruct * len(weights.layers))(*(_layer(layer) for layer in weights.layers))
        kept = WeightsStruct(
            layers,
            weights.norm.data_ptr(),
            weights.embedding.pointer,
            weights.head.pointer,
            weights.cosines.data_ptr(),
            weights.sines.data_ptr(),
        )
        self._pointer = library.handle.model_new(byref(shape), byref(kept), threads)

    def run(self, step: StepInput, cache: NativeKVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted tokens, float32 [wanted, vocabulary].
        """
        logits = torch.empty(len(step.wanted), self._weights.head.rows)
        token_ids = np.array(step.token_ids, np.int32)
        wanted = np.array(step.wanted, np.int32)
        blocks = [np.array(span.blocks, np.int32) for span in step.spans]
        self._check(step, token_ids, blocks, cache)
        spans, first_row = (SpanStruct * len(step.spans))(), 0
        for place, span in enumerate(step.spans):
            spans[place] = SpanStruct(span.start, span.count, first_row, len(blocks[place]), blocks[place].ctypes.data)
            first_row += span.count
        struct = StepStruct(
            first_row,
            len(spans),
            len(wanted),
            token_ids.ctypes.data,
            ctypes.addressof(spans),
            wanted.ctypes.data,
            logits.data_ptr(),
            self.nanoseconds.ctypes.data,
        )
        self._library.handle.model_run(self._pointer, byref(struct), byref(cache.struct))
        return logits

    def multiply(self, matrix: Matrix, x: Tensor) -> Tensor:
        """`x @ matrix.T`: float32 [rows, columns] -> [rows, matrix.rows]."""
        assert x.shape[1] == matrix.columns <= self._widest, "the model has no room for such rows"
        result, x = torch.empty(len(x), matrix.rows), x.contiguous()
        self._library.handle.model_multiply(self._pointer, matrix.pointer, len(x), x.data_ptr(), result.data_ptr())
        return result

    def _check(
        self, step: StepInput, token_ids: NDArray[np.int32], blocks: list[NDArray[np.int32]], cache: NativeKVCache
    ) -> None:
        """Whoever lays out steps keeps to this. The kernels would read and write where it is not."""
        rows = sum(span.count for span in step.spans)
        assert len(token_ids) == rows, "the spans are made of the tokens"
        if rows:
            assert 0 <= token_ids.min() <= token_ids.max() < self._weights.embedding.rows, "no such token"
        assert all(0 <= row < rows for row in step.wanted), "no such row"
        for span, table in zip(step.spans, blocks, strict=True):
            assert 0 <= span.start < span.start + span.count <= len(self._weights.cosines), "past the model's context"
            used = table[: blocks_for(span.start + span.count)]
            assert len(used) == blocks_for(span.start + span.count), "a span without blocks for it"
            assert 0 <= used.min() <= used.max() < cache.blocks, "no such block"

    def __del__(self) -> None:
        if pointer := getattr(self, "_pointer", None):
            self._library.handle.model_free(pointer)


def _layer(layer: LayerWeights) -> LayerStruct:
    return LayerStruct(
        layer.attention_norm.data_ptr(),
        layer.feed_forward_norm.data_ptr(),
        layer.qkv.pointer,
        layer.output.pointer,
        layer.gate_up.pointer,
        layer.down.pointer,
    )
