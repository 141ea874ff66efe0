"""The kernels' library as Python objects: matrices, the cache's memory, and a model's step in one call.

Owns the layout of the C structs and the memory that they point into. Calls release the interpreter's lock. Knows
nothing of files or of where the library comes from.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.loader.quantized import QuantizedRows
from engine.step import StepInput, blocks_for

KVType = Literal["float32", "bfloat16", "int8"]

PARTS = ("embedding", "qkv", "attention", "output", "gate_up", "down", "head")  # of a step's time
_FORMS = ((4, 32), (8, 32), (8, 16))  # of quantized matrices: bits, and columns that share a scale
_KV_TYPES: dict[KVType, int] = {"float32": 0, "bfloat16": 1, "int8": 2}


class _Shape(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("layers", "hidden", "feed_forward", "heads", "kv_heads", "head_dim", "rotated")),
        ("vocabulary", c_int32),
        ("eps", c_float),
    )


class _Layer(Structure):
    _fields_ = tuple(
        (name, c_void_p) for name in ("attention_norm", "feed_forward_norm", "qkv", "output", "gate_up", "down")
    )


class _Weights(Structure):
    _fields_ = (
        ("layers", POINTER(_Layer)),
        *((name, c_void_p) for name in ("norm", "embedding", "head", "cosines", "sines")),
    )


class _Cache(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("layers", "blocks", "kv_heads", "head_dim", "type")),
        ("block_bytes", c_int64),
        ("memory", c_void_p),
    )


class _Span(Structure):
    _fields_ = (*((name, c_int32) for name in ("start", "count", "first_row", "block_count")), ("blocks", c_void_p))


class _Step(Structure):
    _fields_ = (
        *((name, c_int32) for name in ("rows", "spans", "wanted")),
        *((name, c_void_p) for name in ("token_ids", "span", "wanted_rows", "logits", "nanoseconds")),
    )


class NativeLibrary:
    """What the shared library offers, with the types of its functions."""

    def __init__(self, handle: ctypes.CDLL) -> None:
        self.handle = handle
        for name, result, arguments in (
            ("kernels_name", c_char_p, ()),
            ("kernels_half_scales", c_int, ()),
            ("kernels_use", c_int, (c_char_p,)),
            ("arena_new", c_void_p, ()),
            ("arena_free", None, (c_void_p,)),
            ("linear_quantized", c_void_p, (c_void_p, *(c_int,) * 6, *(c_void_p,) * 4)),
            ("linear_floats", c_void_p, (c_void_p, c_int, c_int, c_void_p, c_void_p)),
            ("linear_row", None, (c_void_p, c_int, c_void_p)),
            ("model_new", c_void_p, (POINTER(_Shape), POINTER(_Weights), c_int)),
            ("model_free", None, (c_void_p,)),
            ("model_run", None, (c_void_p, POINTER(_Step), POINTER(_Cache))),
            ("model_multiply", None, (c_void_p, c_void_p, c_int, c_void_p, c_void_p)),
            ("cache_block_bytes", c_int64, (c_int, c_int)),
        ):
            function = getattr(self.handle, name)
            function.restype, function.argtypes = result, arguments

    @property
    def kernels(self) -> str:
        """The instruction set in use: avx512, avx2 or portable."""
        name: bytes = self.handle.kernels_name()
        return name.decode()

    def use(self, kernels: str) -> None:
        """Compute with the kernels of that name from now on. Raises ValueError if this processor has no such thing."""
        if not self.handle.kernels_use(kernels.encode()):
            raise ValueError(f"This processor cannot run the {kernels} kernels.")


class Arena:
    """The memory of a model's matrices. They lie in it in the order in which they are made."""

    def __init__(self, library: NativeLibrary) -> None:
        self.library = library
        self.pointer: int = library.handle.arena_new()

    def __del__(self) -> None:
        if pointer := getattr(self, "pointer", None):
            self.library.handle.arena_free(pointer)


class Matrix:
    """A packed matrix [rows, columns], perhaps with a bias."""

    def __init__(self, arena: Arena, values: QuantizedRows | Tensor, bias: Tensor | None = None) -> None:
        """`values`: quantized, or float32 [rows, columns]; `bias`: float32 [rows].

        Packed for the kernels in use: others that are chosen later may take its scales for what they are not.
        """
        self._arena = arena
        self._handle = arena.library.handle
        self.rows: int
        self.columns: int
        self.rows, self.columns = (values.quants if isinstance(values, QuantizedRows) else values).shape
        kept = None if bias is None else bias.contiguous()
        if isinstance(values, QuantizedRows):
            self.pointer = self._pack(values, kept)
        else:
            plain = values.float().contiguous()
            self.pointer = self._handle.linear_floats(
                arena.pointer, self.rows, self.columns, plain.data_ptr(), _address(kept)
            )

    def row(self, index: int) -> Tensor:
        """float32 [columns]"""
        result = torch.empty(self.columns)
        self._handle.linear_row(self.pointer, index, result.data_ptr())
        return result

    def _pack(self, values: QuantizedRows, bias: Tensor | None) -> int:
        assert (values.bits, values.group) in _FORMS, "the kernels have no code for this form"
        assert self.columns % values.group == 0, "a row is made of whole groups"
        scales, mins, offset = values.scales, values.mins, 0
        for candidate in (8, 16, 32, 128):
            if torch.equal(mins, scales * -candidate):
                offset = candidate
        parts = [scales] if offset else [scales, mins]
        halves = [part.half() for part in parts]
        exact = all(torch.equal(half.float(), part) for half, part in zip(halves, parts, strict=True))
        half = bool(self._handle.kernels_half_scales()) and exact
        kept = [part.contiguous() for part in (halves if half else parts)]
        quants = values.quants.contiguous()
        pointer: int = self._handle.linear_quantized(
            self._arena.pointer,
            self.rows,
            self.columns,
            values.bits,
            values.group,
            offset,
            half,
            quants.data_ptr(),
            kept[0].data_ptr(),
            None if offset else kept[1].data_ptr(),
            _address(bias),
        )
        return pointer


class NativeKVCache:
    """Keys and values of `blocks` blocks in all layers. Memory is taken as blocks are first used."""

    def __init__(
        self, library: NativeLibrary, layers: int, kv_heads: int, head_dim: int, blocks: int, kv_type: KVType
    ) -> None:
        kind = _KV_TYPES[kv_type]
        block_bytes = library.handle.cache_block_bytes(head_dim, kind)
        self._memory: NDArray[np.uint8] = np.zeros((layers * kv_heads, blocks, block_bytes), np.uint8)
        self.blocks = blocks
        self.struct = _Cache(layers, blocks, kv_heads, head_dim, kind, block_bytes, self._memory.ctypes.data)

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
        shape = _Shape(
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
        layers = (_Layer * len(weights.layers))(*(_layer(layer) for layer in weights.layers))
        kept = _Weights(
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
        spans, first_row = (_Span * len(step.spans))(), 0
        for place, span in enumerate(step.spans):
            spans[place] = _Span(span.start, span.count, first_row, len(blocks[place]), blocks[place].ctypes.data)
            first_row += span.count
        struct = _Step(
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


def _layer(layer: LayerWeights) -> _Layer:
    return _Layer(
        layer.attention_norm.data_ptr(),
        layer.feed_forward_norm.data_ptr(),
        layer.qkv.pointer,
        layer.output.pointer,
        layer.gate_up.pointer,
        layer.down.pointer,
    )


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
