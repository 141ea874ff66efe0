"""The forward pass of the Llama family in PyTorch's operations, on any device.

Knows nothing of files, sampling, scheduling or text. Between the copy of a step's indices to the device and the logits
nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.kv_cache import KVCache, KVType, TensorKVCache
from engine.layers.activation import silu_and_mul
from engine.layers.attention import attend
from engine.layers.embedding import DenseEmbedding, StoredEmbedding
from engine.layers.layout import StepLayout, lay_out
from engine.layers.linear import Linear
from engine.layers.rms_norm import RMSNorm
from engine.layers.rotary import Rotary, rotate
from engine.loader.dequantize import dequantize
from engine.models.config import LlamaConfig
from engine.models.llama_weights import LayerWeights, LinearWeights, LlamaWeights
from engine.sampler import Sampler, sample
from engine.step import StepInput
from engine.step_cost import GPU, PYTORCH, StepCost

MakeLinear = Callable[[Tensor, Tensor | None], Linear]


@dataclass(slots=True, frozen=True)
class Numerics:
    """How a model computes: its linear layers, the type of its activations and of what it keeps of them, and where."""

    make_linear: MakeLinear
    dtype: torch.dtype
    kv_type: KVType
    device: torch.device


class Llama:
    """A model of the Llama family, ready to compute."""

    def __init__(self, config: LlamaConfig, weights: LlamaWeights, numerics: Numerics) -> None:
        """Raises ModelLoadError if a tensor is missing or does not fit `config`."""
        self.config = config
        self._numerics = numerics
        self._embedding, self._head = _embedding_and_head(weights, numerics)
        self._rotary = Rotary(weights.frequencies.to(numerics.device), config.context_length)
        self._layers = [_Layer(config, layer, numerics) for layer in weights.layers]
        self._norm = RMSNorm(weights.norm.to(numerics.device), config.eps)

    def make_cache(self, blocks: int) -> TensorKVCache:
        """Room for the keys and values of `blocks * BLOCK` positions, where the model computes."""
        numerics = self._numerics
        return TensorKVCache(self.config.kv_shape, blocks, numerics.kv_type, numerics.dtype, numerics.device)

    def make_sampler(self) -> Sampler:
        return sample

    @property
    def step_cost(self) -> StepCost:
        """What a step costs by its rows."""
        return PYTORCH if self._numerics.device.type == "cpu" else GPU

    def forward(self, step: StepInput, cache: KVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted rows, float32 [wanted, vocabulary], on the model's device.
        """
        assert isinstance(cache, TensorKVCache), "a model computes on a cache of its own making"
        layout = lay_out(step, self.config.group, self._numerics.device)
        cache.clear(layout.stale)
        x = self._embedding(layout)
        angles = self._rotary.at(layout.positions)
        for index, layer in enumerate(self._layers):
            x = layer(x, index, angles, layout, cache)
        return self._head(self._norm(x[layout.wanted])).float()


class _Layer:
    """One block: attention and feed-forward, each normalized before and added to what came in."""

    def __init__(self, config: LlamaConfig, weights: LayerWeights, numerics: Numerics) -> None:
        self._heads = [config.heads, config.kv_heads, config.kv_heads]
        self._head_dim = config.head_dim
        self._attention_norm = RMSNorm(weights.attention_norm.to(numerics.device), config.eps)
        self._qkv = _linear(weights.qkv, numerics)
        self._output = _linear(weights.output, numerics)
        self._feed_forward_norm = RMSNorm(weights.feed_forward_norm.to(numerics.device), config.eps)
        self._gate_up = _linear(weights.gate_up, numerics)
        self._down = _linear(weights.down, numerics)

    def __call__(
        self, x: Tensor, index: int, angles: tuple[Tensor, Tensor], layout: StepLayout, cache: TensorKVCache
    ) -> Tensor:
        """[tokens, hidden] -> the same."""
        qkv = self._qkv(self._attention_norm(x)).view(len(x), -1, self._head_dim)
        queries, keys, values = torch.split(qkv, self._heads, dim=1)
        cache.write(index, rotate(keys, angles), values, layout.slots)
        attended = attend(rotate(queries, angles), cache, index, layout.attention)
        x = x + self._output(attended.flatten(1))
        return x + self._down(silu_and_mul(self._gate_up(self._feed_forward_norm(x))))


def _linear(weights: LinearWeights, numerics: Numerics) -> Linear:
    return numerics.make_linear(weights.dense(), weights.bias)


def _embedding_and_head(weights: LlamaWeights, numerics: Numerics) -> tuple[Callable[[StepLayout], Tensor], Linear]:
    """Rows are looked up where they lie: on the processor in the file's compact form, elsewhere on the device."""
    if numerics.device.type == "cpu":
        return StoredEmbedding(weights.embedding, numerics.dtype), _linear(weights.head, numerics)
    head = weights.head.dense().to(numerics.device, numerics.dtype)
    matrix = head if weights.is_tied else dequantize(weights.embedding).to(numerics.device, numerics.dtype)
    return DenseEmbedding(matrix), numerics.make_linear(head, None)
