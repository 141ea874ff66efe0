"""Takes the blocks of quantized tensors apart: their factors, their small integers.

Owns where the bits of each storage type lie. Knows nothing of what is computed from them.
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
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.loader.gguf import GGUFTensor


def blocks_of(tensor: GGUFTensor) -> Tensor:
    """The stored bytes: uint8 [blocks, bytes of a block], in the file's own memory."""
    return torch.from_numpy(tensor.data).view(-1, tensor.type.block_bytes)


def halves(blocks: Tensor, start: int, count: int = 1) -> Tensor:
    """The `count` half-precision numbers at byte `start` of every block, as float32 [blocks, count]."""
    return blocks[:, start : start + 2 * count].view(torch.float16).float()


def nibbles(packed: Tensor) -> Tensor:
    """[blocks, n] bytes -> [blocks, 2n]: all low halves of a block's bytes, then all high ones."""
    return torch.cat((packed & 0xF, packed >> 4), dim=1)


def five_bits(high: Tensor, packed: Tensor) -> Tensor:
    """The q of Q5_0 and Q5_1, uint8 [blocks, 32]. Bit i of the little-endian word `high` is the fifth of value i."""
    bits = high.unsqueeze(2) >> torch.arange(8, dtype=torch.uint8) & 1  # [blocks, 4, 8]
    return nibbles(packed) | bits.view(-1, 32) << 4


def q4_k_quants(blocks: Tensor) -> Tensor:
    """uint8 [blocks, 8, 32]"""
    return nibbles(blocks[:, 16:].reshape(-1, 32)).view(-1, 8, 32)


def q5_k_quants(blocks: Tensor) -> Tensor:
    """uint8 [blocks, 8, 32]"""
    low = nibbles(blocks[:, 48:].reshape(-1, 32)).view(-1, 8, 32)
    fifth = blocks[:, None, 16:48] >> torch.arange(8, dtype=torch.uint8).view(8, 1) & 1  # bit s: of sub-block s
    return low | fifth << 4


def q6_k_quants(blocks: Tensor) -> Tensor:
    """uint8 [blocks, 16, 16]"""
    packed = blocks[:, :128].reshape(-1, 64)
    low = nibbles(packed).view(-1, 2, 4, 32)  # per half block: 32 values from each of 4 places
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8).view(4, 1)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3  # [blocks, 2, 4, 32]
    return (low | high << 4).view(-1, 16, 16)


def k_scales_and_minimums(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of Q4_K and Q5_K, `d * scale` and `dmin * minimum`: each float32 [blocks, 8]."""
    scales, minimums = _six_bit_pairs(blocks[:, 4:16])
    return halves(blocks, 0) * scales, halves(blocks, 2) * minimums


def q6_k_scales(blocks: Tensor) -> Tensor:
    """`d * scale`, float32 [blocks, 16]"""
    return halves(blocks, 208) * blocks[:, 192:208].view(torch.int8)


def _six_bit_pairs(packed: Tensor) -> tuple[Tensor, Tensor]:
    """[blocks, 12] bytes -> eight scales and eight minimums of six bits, each uint8 [blocks, 8].

    Bytes 0-3 and 4-7 hold the first four of either in their low six bits. Of the last four, the low four bits are the
    halves of bytes 8-11, and the high two bits are the top bits of bytes 0-3 and 4-7.
    """
    first, second, last = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((first & 0x3F, last & 0xF | first >> 6 << 4), dim=1)
    mins = torch.cat((second & 0x3F, last >> 4 | second >> 6 << 4), dim=1)
    return scales, mins
