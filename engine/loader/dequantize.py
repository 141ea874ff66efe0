"""Turns the stored bytes of a tensor into float32.

Owns which formula belongs to which storage type; `block_bytes.py` lists them and knows where their parts lie. Knows
nothing of files or models. Products are rounded before sums, as ggml's reference does: results are equal to its own bit
for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import ModelLoadError
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


def dequantize(tensor: GGUFTensor) -> Tensor:
    """The values of `tensor`: float32, of its shape, in memory of their own.

    Raises ModelLoadError for a storage type that is not in `DEQUANT`.
    """
    convert = DEQUANT.get(tensor.type)
    if convert is None:
        raise ModelLoadError(f"The tensor {tensor.name} is stored as {tensor.type.name}, which cannot be read.")
    return convert(blocks_of(tensor)).reshape(tensor.shape)


def _f32(blocks: Tensor) -> Tensor:
    return blocks.view(torch.float32).clone()


def _f16(blocks: Tensor) -> Tensor:
    return blocks.view(torch.float16).float()


def _bf16(blocks: Tensor) -> Tensor:
    return blocks.view(torch.bfloat16).float()


def _q4_0(blocks: Tensor) -> Tensor:
    return nibbles(blocks[:, 2:]).float().sub_(8).mul_(halves(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    return nibbles(blocks[:, 4:]).float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def _q5_0(blocks: Tensor) -> Tensor:
    return five_bits(blocks[:, 2:6], blocks[:, 6:]).float().sub_(16).mul_(halves(blocks, 0))


def _q5_1(blocks: Tensor) -> Tensor:
    return five_bits(blocks[:, 4:8], blocks[:, 8:]).float().mul_(halves(blocks, 0)).add_(halves(blocks, 2))


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(halves(blocks, 0))


def _q4_k(blocks: Tensor) -> Tensor:
    return _scaled_and_shifted(blocks, q4_k_quants(blocks))


def _q5_k(blocks: Tensor) -> Tensor:
    return _scaled_and_shifted(blocks, q5_k_quants(blocks))


def _scaled_and_shifted(blocks: Tensor, quants: Tensor) -> Tensor:
    """What Q4_K and Q5_K share: eight sub-blocks of 32, each with a scale and a minimum."""
    scales, minimums = k_scales_and_minimums(blocks)
    return quants.float().mul_(scales.unsqueeze(2)).sub_(minimums.unsqueeze(2))


def _q6_k(blocks: Tensor) -> Tensor:
    return q6_k_quants(blocks).float().sub_(32).mul_(q6_k_scales(blocks).unsqueeze(2))


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
