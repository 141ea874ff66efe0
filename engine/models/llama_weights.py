"""Which weights a model of the Llama family has, where they stand in its file, and which of them are computed as one.

Every way to compute reads this one description: as plain values, or as the quantized parts that the file stores.
Knows nothing of how anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.layers.rotary import frequencies, interleaved_to_halves
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGUFTensor
from engine.loader.quantized import QuantizedRows, concatenate, split
from engine.loader.weights import Weights
from engine.models.config import LlamaConfig

RowOrder = Callable[[Tensor], Tensor]  # puts the rows of a matrix, or of anything else with as many rows, in order


@dataclass(slots=True, frozen=True, eq=False)
class StoredRows:
    """A matrix of the file, and the order in which its rows are computed; None: as they are."""

    tensor: GGUFTensor  # [out, in]
    order: RowOrder | None = None

    def dense(self) -> Tensor:
        """float32 [out, in]"""
        matrix = dequantize(self.tensor)
        return matrix if self.order is None else self.order(matrix)

    def quantized(self) -> QuantizedRows | None:
        """The parts; None where the file has floating-point numbers."""
        parts = split(self.tensor)
        return parts if parts is None or self.order is None else parts.rearrange(self.order)


@dataclass(slots=True, frozen=True, eq=False)
class LinearWeights:
    """A linear layer, `x @ matrix.T + bias`: some matrices of the file, one below the other. Reads when it is asked."""

    matrices: Sequence[StoredRows]
    bias: Tensor | None = None  # float32 [out]

    def dense(self) -> Tensor:
        """float32 [out, in]"""
        return torch.cat([rows.dense() for rows in self.matrices])

    def quantized(self) -> QuantizedRows | None:
        """The parts, which `dense` is the values of; None where some of the matrices have none."""
        parts = [rows.quantized() for rows in self.matrices]
        present = [part for part in parts if part is not None]
        return concatenate(present) if len(present) == len(parts) else None


@dataclass(slots=True, frozen=True, eq=False)
class LayerWeights:
    """One block. `qkv` has the rows of all query heads, then the keys', then the values'; Q and K turn over halves."""

    attention_norm: Tensor  # float32 [hidden]
    qkv: LinearWeights
    output: LinearWeights
    feed_forward_norm: Tensor  # float32 [hidden]
    gate_up: LinearWeights  # the gate's rows first
    down: LinearWeights


@dataclass(slots=True, frozen=True, eq=False)
class LlamaWeights:
    """A whole model. `layers` can be walked through once: each is looked up when its turn comes."""

    embedding: GGUFTensor  # [vocabulary, hidden]
    frequencies: Tensor  # float32 [rotated / 2], radians a position
    layers: Iterator[LayerWeights]
    norm: Tensor  # float32 [hidden]
    head: LinearWeights

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.head.matrices[0].tensor is self.embedding


def describe(config: LlamaConfig, file: Weights, *, rotates_pairs: bool) -> LlamaWeights:
    """The weights of a model of the Llama family.

    `rotates_pairs` tells whether the rows of Q and K in the file turn as adjacent pairs, as in files of Llama itself.
    Raises ModelLoadError if a tensor is missing or does not fit `config`.
    """
    factors = file.read("rope_freqs.weight", config.rotated // 2) if "rope_freqs.weight" in file else None
    embedding = file.take("token_embd.weight", config.vocabulary, config.hidden)
    has_head = "output.weight" in file
    return LlamaWeights(
        embedding,
        frequencies(config.rope_base, config.rotated, config.rope_scale, factors),
        (_layer(config, file, f"blk.{index}.", rotates_pairs) for index in range(config.layers)),
        file.read("output_norm.weight", config.hidden),
        _linear(file, config.hidden, config.vocabulary, "output.weight")
        if has_head
        else LinearWeights([StoredRows(embedding)]),
    )


def _layer(config: LlamaConfig, file: Weights, prefix: str, rotates_pairs: bool) -> LayerWeights:
    hidden, feed_forward = config.hidden, config.feed_forward
    return LayerWeights(
        attention_norm=file.read(prefix + "attn_norm.weight", hidden),
        qkv=_qkv(config, file, prefix, rotates_pairs),
        output=_linear(file, config.heads * config.head_dim, hidden, prefix + "attn_output.weight"),
        feed_forward_norm=file.read(prefix + "ffn_norm.weight", hidden),
        gate_up=_linear(file, hidden, feed_forward, prefix + "ffn_gate.weight", prefix + "ffn_up.weight"),
        down=_linear(file, feed_forward, hidden, prefix + "ffn_down.weight"),
    )


def _linear(file: Weights, columns: int, rows: int, *names: str) -> LinearWeights:
    """The matrices of these names, each of so many rows."""
    return LinearWeights([StoredRows(file.take(name, rows, columns)) for name in names])


def _qkv(config: LlamaConfig, file: Weights, prefix: str, rotates_pairs: bool) -> LinearWeights:
    matrices, biases = [], []
    for letter, heads in zip("qkv", (config.heads, config.kv_heads, config.kv_heads), strict=True):
        rows, name = heads * config.head_dim, f"{prefix}attn_{letter}"
        turned = rotates_pairs and letter != "v"
        order = partial(interleaved_to_halves, heads=heads, rotated=config.rotated) if turned else None
        matrices.append(StoredRows(file.take(f"{name}.weight", rows, config.hidden), order))
        bias = file.read(f"{name}.bias", rows) if f"{name}.bias" in file else torch.zeros(rows)
        biases.append(bias if order is None else order(bias))
    bias = torch.cat(biases)
    return LinearWeights(matrices, bias if bias.any() else None)
