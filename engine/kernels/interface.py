"""The C interface of the kernels' library: its structs, field by field, and the types of its functions.

Owns what must agree with `src/*.h` and `src/*.cpp`. Calls release the interpreter's lock.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_int32, c_int64, c_void_p

PARTS = ("embedding", "qkv", "attention", "output", "gate_up", "down", "head")  # of a step's time


class ShapeStruct(Structure):
    """The dimensions of a model: `Shape` of model.cpp."""

    _fields_ = (
        *((name, c_int32) for name in ("layers", "hidden", "feed_forward", "heads", "kv_heads", "head_dim", "rotated")),
        ("vocabulary", c_int32),
        ("eps", c_float),
    )


class LayerStruct(Structure):
    """What a layer computes with: `Layer` of model.cpp."""

    _fields_ = tuple(
        (name, c_void_p) for name in ("attention_norm", "feed_forward_norm", "qkv", "output", "gate_up", "down")
    )


class WeightsStruct(Structure):
    """What a model computes with: `Weights` of model.cpp."""

    _fields_ = (
        ("layers", POINTER(LayerStruct)),
        *((name, c_void_p) for name in ("norm", "embedding", "head", "cosines", "sines")),
    )


class CacheStruct(Structure):
    """Keys and values: `Cache` of kernels.h."""

    _fields_ = (
        *((name, c_int32) for name in ("layers", "blocks", "kv_heads", "head_dim", "type")),
        ("block_bytes", c_int64),
        ("memory", c_void_p),
    )


class SpanStruct(Structure):
    """Consecutive tokens of a sequence: `Span` of kernels.h."""

    _fields_ = (*((name, c_int32) for name in ("start", "count", "first_row", "block_count")), ("blocks", c_void_p))


class StepStruct(Structure):
    """What is computed at once: `Step` of model.cpp."""

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
            ("model_new", c_void_p, (POINTER(ShapeStruct), POINTER(WeightsStruct), c_int)),
            ("model_free", None, (c_void_p,)),
            ("model_run", None, (c_void_p, POINTER(StepStruct), POINTER(CacheStruct))),
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
