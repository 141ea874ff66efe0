"""Models of the Llama family computed by the compiled kernels: the same weights as the eager model, packed for them.

Owns how a model's weights become the kernels' matrices. Knows nothing of how they are computed with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import KernelsUnavailable
from engine.kernels.interface import PARTS, NativeLibrary
from engine.kernels.matrix import Arena, Matrix
from engine.kernels.native import LayerWeights as PackedLayer
from engine.kernels.native import ModelWeights, NativeKVCache, NativeModel
from engine.kernels.sampling import NativeSampler
from engine.kv_cache import KVCache, KVType
from engine.models.config import LlamaConfig
from engine.models.llama_weights import LayerWeights, LinearWeights, LlamaWeights, StoredRows
from engine.sampler import Sampler
from engine.step import StepInput
from engine.step_cost import KERNELS, StepCost

_LANES = 16  # what the kernels compute at once
_MOST_IN_GROUP = 64


class NativeLlama:
    """A model of the Llama family, ready to compute on the processor."""

    def __init__(
        self,
        config: LlamaConfig,
        weights: LlamaWeights,
        library: NativeLibrary,
        *,
        threads: int,
        kv_type: KVType = "bfloat16",
    ) -> None:
        """Raises KernelsUnavailable if the kernels cannot compute such a model.

        Raises ModelLoadError if a tensor is missing or does not fit `config`.
        """
        _check(config)
        self.config = config
        self._library = library
        self._kv_type = kv_type
        self._arena = Arena(library)
        self._model = NativeModel(
            library,
            self._pack(weights),
            heads=config.heads,
            kv_heads=config.kv_heads,
            head_dim=config.head_dim,
            rotated=config.rotated,
            eps=config.eps,
            threads=threads,
        )

    def make_cache(self, blocks: int) -> NativeKVCache:
        """Room for the keys and values of so many blocks."""
        config = self.config
        return NativeKVCache(self._library, config.layers, config.kv_heads, config.head_dim, blocks, self._kv_type)

    def make_sampler(self) -> Sampler:
        """The compiled one."""
        return NativeSampler(self._library, self.config.vocabulary)

    @property
    def step_cost(self) -> StepCost:
        """What a step costs by its rows."""
        return KERNELS.get(self._library.kernels, KERNELS["avx2"])

    @property
    def nanoseconds(self) -> dict[str, int]:
        """How long each part of its steps has taken since it was made."""
        return dict(zip(PARTS, self._model.nanoseconds.tolist(), strict=True))

    def forward(self, step: StepInput, cache: KVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted tokens, float32 [wanted, vocabulary].
        """
        assert isinstance(cache, NativeKVCache), "a model computes on a cache of its own making"
        return self._model.run(step, cache)

    def _pack(self, weights: LlamaWeights) -> ModelWeights:
        embedding = self._matrix(LinearWeights([StoredRows(weights.embedding)]))
        head = embedding if weights.is_tied else self._matrix(weights.head)
        angles = torch.outer(torch.arange(self.config.context_length, dtype=torch.float32), weights.frequencies)
        layers = [self._pack_layer(layer) for layer in weights.layers]
        return ModelWeights(layers, weights.norm, embedding, head, angles.cos(), angles.sin())

    def _pack_layer(self, layer: LayerWeights) -> PackedLayer:
        return PackedLayer(
            attention_norm=layer.attention_norm,
            qkv=self._matrix(layer.qkv),
            output=self._matrix(layer.output),
            feed_forward_norm=layer.feed_forward_norm,
            gate_up=self._matrix(layer.gate_up),
            down=self._matrix(layer.down),
        )

    def _matrix(self, linear: LinearWeights) -> Matrix:
        quantized = linear.quantized()
        return Matrix(self._arena, linear.dense() if quantized is None else quantized, linear.bias)


def _check(config: LlamaConfig) -> None:
    """Raises KernelsUnavailable for what the kernels have no code for."""
    widths = (config.hidden, config.feed_forward, config.head_dim)
    if any(width % _LANES for width in widths) or config.group > _MOST_IN_GROUP:
        raise KernelsUnavailable("The compiled kernels do not compute models of these dimensions.")
