"""The forward pass of the Llama family: Llama, SmolLM2, Mistral, TinyLlama; Qwen2, which adds biases to Q, K and V.

Owns which weights there are and how they are joined. Knows nothing of sampling, scheduling or text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.kv_cache import KVCache
from engine.layers.activation import silu_and_mul
from engine.layers.attention import AttentionPlan, attend
from engine.layers.embedding import Embedding
from engine.layers.linear import Linear
from engine.layers.rms_norm import RMSNorm
from engine.layers.rotary import Rotary, frequencies, interleaved_to_halves, rotate
from engine.loader.weights import Weights
from engine.models.config import LlamaConfig

MakeLinear = Callable[[Tensor, Tensor | None], Linear]


@dataclass(slots=True, frozen=True, eq=False)
class StepInput:
    """The rows of one step: tokens of several sequences, one sequence after the other."""

    token_ids: list[int]
    positions: Tensor  # [tokens]
    blocks: Tensor  # [tokens], the cache block that each token's keys go to
    offsets: Tensor  # [tokens], and the place in it
    attention: AttentionPlan
    wanted: Tensor  # [rows], the tokens whose logits are wanted


@dataclass(slots=True, frozen=True)
class Numerics:
    """How a model computes: its linear layers, the type of its activations, and where."""

    make_linear: MakeLinear
    dtype: torch.dtype
    device: torch.device


class Llama:
    """A model of the Llama family, ready to compute."""

    rotates_pairs = True  # the rows of Q and K in the file turn as adjacent pairs

    def __init__(self, config: LlamaConfig, weights: Weights, numerics: Numerics) -> None:
        """Raises ModelLoadError if a tensor is missing or does not fit `config`."""
        self.config = config
        embedding = weights.take("token_embd.weight", config.vocabulary, config.hidden)
        self._embedding = Embedding(embedding, numerics.dtype, numerics.device)
        factors = weights.read("rope_freqs.weight", config.rotated // 2) if "rope_freqs.weight" in weights else None
        turns = frequencies(config.rope_base, config.rotated, config.rope_scale, factors)
        self._rotary = Rotary(turns.to(numerics.device), config.context_length)
        self._layers = [
            _Layer(config, weights, f"blk.{index}.", numerics, self.rotates_pairs) for index in range(config.layers)
        ]
        self._norm = _norm(config, weights, "output_norm.weight", numerics)
        head = "output.weight" if "output.weight" in weights else "token_embd.weight"
        self._head = numerics.make_linear(weights.read(head, config.vocabulary, config.hidden), None)

    def forward(self, step: StepInput, cache: KVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted tokens, float32 [rows, vocabulary].
        """
        x = self._embedding(step.token_ids)
        angles = self._rotary.at(step.positions)
        for index, layer in enumerate(self._layers):
            x = layer(x, index, angles, step, cache)
        return self._head(self._norm(x[step.wanted])).float()


class Qwen2(Llama):
    """As Llama, with biases on Q, K and V and the rows of Q and K in the order of the rotation."""

    rotates_pairs = False


class _Layer:
    """One block: attention and feed-forward, each normalized before and added to what came in."""

    def __init__(
        self, config: LlamaConfig, weights: Weights, prefix: str, numerics: Numerics, rotates_pairs: bool
    ) -> None:
        self._heads = [config.heads, config.kv_heads, config.kv_heads]
        self._head_dim = config.head_dim
        self._attention_norm = _norm(config, weights, prefix + "attn_norm.weight", numerics)
        self._qkv = _qkv(config, weights, prefix, numerics, rotates_pairs)
        attended = config.heads * config.head_dim
        self._output = numerics.make_linear(weights.read(prefix + "attn_output.weight", config.hidden, attended), None)
        self._feed_forward_norm = _norm(config, weights, prefix + "ffn_norm.weight", numerics)
        names = [prefix + "ffn_gate.weight", prefix + "ffn_up.weight"]
        gate_up = weights.read_rows(names, [config.feed_forward] * 2, config.hidden)
        self._gate_up = numerics.make_linear(gate_up, None)
        down = weights.read(prefix + "ffn_down.weight", config.hidden, config.feed_forward)
        self._down = numerics.make_linear(down, None)

    def __call__(self, x: Tensor, index: int, angles: tuple[Tensor, Tensor], step: StepInput, cache: KVCache) -> Tensor:
        """[tokens, hidden] -> the same."""
        qkv = self._qkv(self._attention_norm(x)).view(len(x), -1, self._head_dim)
        queries, keys, values = torch.split(qkv, self._heads, dim=1)
        cache.write(index, rotate(keys, angles), values, step.blocks, step.offsets)
        attended = attend(rotate(queries, angles), cache.keys[index], cache.values[index], step.attention)
        x = x + self._output(attended.flatten(1))
        return x + self._down(silu_and_mul(self._gate_up(self._feed_forward_norm(x))))


def _norm(config: LlamaConfig, weights: Weights, name: str, numerics: Numerics) -> RMSNorm:
    return RMSNorm(weights.read(name, config.hidden).to(numerics.device), config.eps)


def _qkv(config: LlamaConfig, weights: Weights, prefix: str, numerics: Numerics, rotates_pairs: bool) -> Linear:
    """One layer for all three projections: the query heads first, then the keys', then the values'."""
    matrices, biases = [], []
    for letter, heads in zip("qkv", (config.heads, config.kv_heads, config.kv_heads), strict=True):
        rows, name = heads * config.head_dim, f"{prefix}attn_{letter}"
        matrix = weights.read(f"{name}.weight", rows, config.hidden)
        bias = weights.read(f"{name}.bias", rows) if f"{name}.bias" in weights else torch.zeros(rows)
        if rotates_pairs and letter != "v":
            matrix = interleaved_to_halves(matrix, heads, config.rotated)
            bias = interleaved_to_halves(bias, heads, config.rotated)
        matrices.append(matrix)
        biases.append(bias)
    bias = torch.cat(biases)
    return numerics.make_linear(torch.cat(matrices), bias if bias.any() else None)
