"""A quantized matrix in parts, for kernels that compute on its small integers instead of on floating-point values.

Every storage type comes out in one form, `value = scale * q + minimum` with an unsigned q, so that a kernel need not
know where a matrix came from. Knows nothing of files' names or models; `dequantize.py` makes plain values instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.loader.block_bytes import (
    blocks_of,
    five_bits,
    halves,
    k_scales_and_minimums,
    nibbles,
    q4_k_quants,
    q5_k_quants,
    q6_k_quants,
    q6_k_scales,
)
from engine.loader.ggml_types import GGMLType
from engine.loader.gguf import GGUFTensor

_Parts = tuple[Tensor, Tensor, Tensor]  # quants, scales and minimums, of any shape that can be viewed as the matrix's


@dataclass(slots=True, frozen=True, eq=False)
class QuantizedRows:
    """A matrix: `value = scale * q + minimum`, the last two one for each `group` of consecutive inputs of a row."""

    quants: Tensor  # uint8 [out, in], below 2 ** bits
    scales: Tensor  # float32 [out, in / group]
    mins: Tensor  # float32 [out, in / group]
    bits: Literal[4, 8]  # the width in which a kernel can keep `quants`
    group: Literal[16, 32]

    def values(self) -> Tensor:
        """float32 [out, in], equal to `dequantize` up to the last bit or two."""
        grouped = self.quants.view(*self.scales.shape, self.group).float()
        return grouped.mul_(self.scales.unsqueeze(2)).add_(self.mins.unsqueeze(2)).flatten(1)

    def rearrange(self, order: Callable[[Tensor], Tensor]) -> QuantizedRows:
        """The rows in the order that `order` puts the rows of any matrix in."""
        return QuantizedRows(order(self.quants), order(self.scales), order(self.mins), self.bits, self.group)

    def in_groups_of_16(self) -> QuantizedRows:
        """The same values, with each factor said twice."""
        if self.group == 16:
            return self
        scales, mins = (factors.repeat_interleave(2, dim=1) for factors in (self.scales, self.mins))
        return QuantizedRows(self.quants, scales, mins, self.bits, 16)


def split(tensor: GGUFTensor) -> QuantizedRows | None:
    """The parts of a matrix, in memory of their own; None for one that is stored as floating-point numbers."""
    if tensor.type not in _SPLIT:
        return None
    take_apart, bits, group = _SPLIT[tensor.type]
    rows, columns = tensor.shape
    quants, scales, mins = take_apart(blocks_of(tensor))
    groups = (rows, columns // group)
    return QuantizedRows(quants.view(rows, columns), scales.view(groups), mins.view(groups), bits, group)


def packed_width(kind: GGMLType) -> float:
    """Bytes that a value of this type takes at most where its parts are kept, or as float32 where it has none."""
    if kind not in _SPLIT:
        return 4.0
    _, bits, group = _SPLIT[kind]
    return bits / 8 + 2 * 4 / group


def concatenate(matrices: Sequence[QuantizedRows]) -> QuantizedRows:
    """The rows of all `matrices`, which have equally many inputs, one below the other.

    Files of mixed types quantize one matrix more finely than its neighbour: the finer form then holds both.
    """
    if len({matrix.group for matrix in matrices}) > 1:
        matrices = [matrix.in_groups_of_16() for matrix in matrices]
    return QuantizedRows(
        torch.cat([matrix.quants for matrix in matrices]),
        torch.cat([matrix.scales for matrix in matrices]),
        torch.cat([matrix.mins for matrix in matrices]),
        max(matrix.bits for matrix in matrices),
        matrices[0].group,
    )


def _q4_0(blocks: Tensor) -> _Parts:
    scales = halves(blocks, 0)
    return nibbles(blocks[:, 2:]), scales, scales * -8


def _q4_1(blocks: Tensor) -> _Parts:
    return nibbles(blocks[:, 4:]), halves(blocks, 0), halves(blocks, 2)


def _q5_0(blocks: Tensor) -> _Parts:
    scales = halves(blocks, 0)
    return five_bits(blocks[:, 2:6], blocks[:, 6:]), scales, scales * -16


def _q5_1(blocks: Tensor) -> _Parts:
    return five_bits(blocks[:, 4:8], blocks[:, 8:]), halves(blocks, 0), halves(blocks, 2)


def _q8_0(blocks: Tensor) -> _Parts:
    scales = halves(blocks, 0)
    return blocks[:, 2:] ^ 0x80, scales, scales * -128  # a signed byte with its top bit turned over is 128 more


def _q4_k(blocks: Tensor) -> _Parts:
    scales, minimums = k_scales_and_minimums(blocks)
    return q4_k_quants(blocks), scales, minimums.neg_()


def _q5_k(blocks: Tensor) -> _Parts:
    scales, minimums = k_scales_and_minimums(blocks)
    return q5_k_quants(blocks), scales, minimums.neg_()


def _q6_k(blocks: Tensor) -> _Parts:
    scales = q6_k_scales(blocks)
    return q6_k_quants(blocks), scales, scales * -32


_SPLIT: dict[GGMLType, tuple[Callable[[Tensor], _Parts], Literal[4, 8], Literal[16, 32]]] = {
    GGMLType.Q4_0: (_q4_0, 4, 32),
    GGMLType.Q4_1: (_q4_1, 4, 32),
    GGMLType.Q5_0: (_q5_0, 8, 32),
    GGMLType.Q5_1: (_q5_1, 8, 32),
    GGMLType.Q8_0: (_q8_0, 8, 32),
    GGMLType.Q4_K: (_q4_k, 4, 32),
    GGMLType.Q5_K: (_q5_k, 8, 32),
    GGMLType.Q6_K: (_q6_k, 8, 16),
}
