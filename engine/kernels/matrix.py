"""Matrices as the kernels want them, and the memory that they lie in. Knows nothing of models."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.kernels.interface import NativeLibrary
from engine.loader.quantized import QuantizedRows

_FORMS = ((4, 32), (8, 32), (8, 16))  # of quantized matrices: bits, and columns that share a scale


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


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
