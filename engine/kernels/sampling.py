"""Sampling by the compiled kernels: what `engine.sampler` does, several times as fast."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from ctypes import c_int, c_int64, c_void_p

import numpy as np
from torch import Tensor

from engine.kernels.interface import NativeLibrary
from engine.sampler import Pick, not_numbers, scale_of, uniform

# The struct Pick of sampling.cpp.
_PICK = np.dtype([("scale", "f8"), ("top_p", "f8"), ("min_p", "f8"), ("u", "f8"), ("top_k", "i4")], align=True)
_LARGEST = 2**31 - 1


class NativeSampler:
    """Picks tokens on the processor. For one thread."""

    def __init__(self, library: NativeLibrary, vocabulary: int) -> None:
        self._handle = library.handle
        for name, result, arguments in (
            ("sampler_new", c_void_p, (c_int,)),
            ("sampler_free", None, (c_void_p,)),
            ("sampler_pick", None, (c_void_p, c_void_p, c_int64, c_int, c_void_p, c_void_p)),
        ):
            function = getattr(self._handle, name)
            function.restype, function.argtypes = result, arguments
        self._vocabulary = vocabulary
        self._sampler = self._handle.sampler_new(vocabulary)

    def __call__(self, logits: Tensor, picks: SequenceOf[Pick]) -> list[int]:
        """One token for each row of `logits`, float32 [picks, vocabulary].

        Raises EngineError for logits that are not numbers.
        """
        assert logits.shape == (len(picks), self._vocabulary)
        assert logits.stride(1) == 1
        told = np.array([_told(pick) for pick in picks], dtype=_PICK)
        tokens = np.empty(len(picks), dtype=np.int32)
        pointers = told.ctypes.data, tokens.ctypes.data
        self._handle.sampler_pick(self._sampler, logits.data_ptr(), logits.stride(0), len(picks), *pointers)
        result: list[int] = tokens.tolist()
        if -1 in result:
            raise not_numbers()
        return result

    def __del__(self) -> None:
        if sampler := getattr(self, "_sampler", None):
            self._handle.sampler_free(sampler)


def _told(pick: Pick) -> tuple[float, float, float, float, int]:
    params = pick.params
    if params.temperature == 0:
        return 0.0, 1.0, 0.0, 0.0, 0
    u = uniform(pick.seed, pick.position)
    return scale_of(params), params.top_p, params.min_p, u, min(params.top_k, _LARGEST)
