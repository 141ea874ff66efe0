"""Turns the stored bytes of a tensor into float32, or a 4-bit tensor into its parts.

Owns what the bytes of each storage type mean. Knows nothing of files or models.
Source: the block layouts of ggml, as its quantization types are defined (`ggml-common.h`). A block holds 32 values, or
256 in the K types, whose sub-blocks of 16 or 32 values have small integer scales. `d` is a half-precision factor.

    Q4_0  d, 16 bytes of 4-bit q                          value = d * (q - 8)
    Q4_1  d, m, 16 bytes of 4-bit q                       value = d * q + m
    Q5_0  d, 32 high bits, 16 bytes of low bits           value = d * (q - 16)
    Q5_1  d, m, 32 high bits, 16 bytes of low bits        value = d * q + m
    Q8_0  d, 32 signed bytes                              value = d * q
    Q4_K  d, dmin, 8 6-bit scales and minimums, 4-bit q   value = d * scale * q - dmin * minimum
    Q5_K  as Q4_K, with 32 bytes of high bits before q    value = d * scale * q - dmin * minimum
    Q6_K  low 4 bits, high 2 bits, 16 signed scales, d    value = d * scale * (q - 32)

Products are rounded before sums, as the reference does: results are equal to it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import ModelLoadError
from engine.loader.ggml_types import GGMLType
from engine.loader.gguf import GGUFTensor

GROUP = 32  # values that share a scale in the 4-bit types


@dataclass(slots=True, frozen=True, eq=False)
class Q4Blocks:
    """A Q4_0 or Q4_1 matrix in parts: `value = scale * q + minimum`, the last two one per group of 32 inputs."""

    quants: Tensor  # uint8 [out, in], 0..15
    scales: Tensor  # float32 [out, in / 32]
    mins: Tensor  # float32 [out, in / 32]


def dequantize(tensor: GGUFTensor) -> Tensor:
    """The values of `tensor`: float32, of its shape, in memory of their own.

    Raises ModelLoadError for a storage type that is not in `DEQUANT`.
    """
    convert = DEQUANT.get(tensor.type)
    if convert is None:
        raise ModelLoadError(f"The tensor {tensor.name} is stored as {tensor.type.name}, which cannot be read.")
    return convert(_blocks(tensor)).reshape(tensor.shape)


def split_q4(tensor: GGUFTensor) -> Q4Blocks:
    """The parts of a Q4_0 or Q4_1 matrix, for a kernel that computes on them."""
    assert tensor.type in (GGMLType.Q4_0, GGMLType.Q4_1), "only the 32-value 4-bit types are split"
    rows, columns = tensor.shape
    blocks = _blocks(tensor)
    scales = _halves(blocks, 0)
    if tensor.type is GGMLType.Q4_0:
        mins, packed = scales * -8.0, blocks[:, 2:]
    else:
        mins, packed = _halves(blocks, 2), blocks[:, 4:]
    groups = (rows, columns // GROUP)
    return Q4Blocks(_nibbles(packed).view(rows, columns), scales.view(groups), mins.view(groups))


def _blocks(tensor: GGUFTensor) -> Tensor:
    return torch.from_numpy(tensor.data).view(-1, tensor.type.block_bytes)


def _halves(blocks: Tensor, start: int, count: int = 1) -> Tensor:
    """The `count` half-precision numbers at byte `start` of every block, as float32 [blocks, count]."""
    return blocks[:, start : start + 2 * count].view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """[blocks, n] bytes -> [blocks, 2n]: all low halves of a block's bytes, then all high ones."""
    return torch.cat((packed & 0xF, packed >> 4), dim=1)


def _f32(blocks: Tensor) -> Tensor:
    return blocks.view(torch.float32).clone()


def _f16(blocks: Tensor) -> Tensor:
    return blocks.view(torch.float16).float()


def _bf16(blocks: Tensor) -> Tensor:
    return blocks.view(torch.bfloat16).float()


def _q4_0(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 2:]).float().sub_(8).mul_(_halves(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 4:]).float().mul_(_halves(blocks, 0)).add_(_halves(blocks, 2))


def _q5_0(blocks: Tensor) -> Tensor:
    return _five_bits(blocks[:, 2:6], blocks[:, 6:]).float().sub_(16).mul_(_halves(blocks, 0))


def _q5_1(blocks: Tensor) -> Tensor:
    return _five_bits(blocks[:, 4:8], blocks[:, 8:]).float().mul_(_halves(blocks, 0)).add_(_halves(blocks, 2))


def _five_bits(high: Tensor, packed: Tensor) -> Tensor:
    """`high` holds the fifth bit of value i as bit i of a little-endian word."""
    bits = high.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8) & 1  # [blocks, 4, 8]
    return _nibbles(packed) | bits.view(-1, 32) << 4


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_halves(blocks, 0))


def _q4_k(blocks: Tensor) -> Tensor:
    quants = _nibbles(blocks[:, 16:].reshape(-1, 32))  # [blocks * 4, 64]
    return _scaled_and_shifted(blocks, quants)


def _q5_k(blocks: Tensor) -> Tensor:
    low = _nibbles(blocks[:, 48:].reshape(-1, 32)).view(-1, 8, 32)
    fifth = blocks[:, None, 16:48] >> torch.arange(8, dtype=torch.uint8).view(8, 1) & 1  # bit s: of sub-block s
    return _scaled_and_shifted(blocks, low | fifth << 4)


def _scaled_and_shifted(blocks: Tensor, quants: Tensor) -> Tensor:
    """What Q4_K and Q5_K share: eight sub-blocks of 32, each with a scale and a minimum."""
    scales, mins = _six_bit_pairs(blocks[:, 4:16])
    values = quants.view(-1, 8, 32).float()
    values.mul_((_halves(blocks, 0) * scales).unsqueeze(2))
    values.sub_((_halves(blocks, 2) * mins).unsqueeze(2))
    return values.view(-1, 256)


def _six_bit_pairs(packed: Tensor) -> tuple[Tensor, Tensor]:
    """[blocks, 12] bytes -> eight scales and eight minimums of six bits, each uint8 [blocks, 8].

    Bytes 0-3 and 4-7 hold the first four of either in their low six bits. Of the last four, the low four bits are the
    halves of bytes 8-11, and the high two bits are the top bits of bytes 0-3 and 4-7.
    """
    first, second, last = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((first & 0x3F, last & 0xF | first >> 6 << 4), dim=1)
    mins = torch.cat((second & 0x3F, last >> 4 | second >> 6 << 4), dim=1)
    return scales, mins


def _q6_k(blocks: Tensor) -> Tensor:
    low = _nibbles(blocks[:, :128].reshape(-1, 64)).view(
        -1, 2, 4, 32
    )  # per half block: 32 values from each of 4 places
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8).view(4, 1)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3  # [blocks, 2, 4, 32]
    scales = _halves(blocks, 208) * blocks[:, 192:208].view(torch.int8)  # [blocks, 16]
    values = (low | high << 4).view(-1, 16, 16).float().sub_(32)
    return values.mul_(scales.unsqueeze(2)).view(-1, 256)


DEQUANT: dict[GGMLType, Callable[[Tensor], Tensor]] = {
    GGMLType.F32: _f32,
    GGMLType.F16: _f16,
    GGMLType.BF16: _bf16,
    GGMLType.Q4_0: _q4_0,
    GGMLType.Q4_1: _q4_1,
    GGMLType.Q5_0: _q5_0,
    GGMLType.Q5_1: _q5_1,
    GGMLType.Q8_0: _q8_0,
    GGMLType.Q4_K: _q4_k,
    GGMLType.Q5_K: _q5_k,
    GGMLType.Q6_K: _q6_k,
}
