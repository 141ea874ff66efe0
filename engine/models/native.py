"""Models of the Llama family computed by the compiled kernels: the same weights as the eager model, packed for them.

Owns which tensors of a file become which matrix. Knows nothing of how they are computed with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import ModelLoadError
from engine.kernels.native import KVType, LayerWeights, Matrix, ModelWeights, NativeKVCache, NativeLibrary, NativeModel
from engine.layers.rotary import frequencies, interleaved_to_halves
from engine.loader.dequantize import dequantize
from engine.loader.quantized import QuantizedRows, concatenate, split
from engine.loader.weights import Weights
from engine.models.config import LlamaConfig
from engine.step import StepInput

Rows = QuantizedRows | Tensor  # a matrix, quantized or float32
_LANES = 16  # what the kernels compute at once
_MOST_IN_GROUP = 64


class NativeLlama:
    """A model of the Llama family, ready to compute on the processor."""

    def __init__(
        self,
        config: LlamaConfig,
        weights: Weights,
        library: NativeLibrary,
        *,
        threads: int,
        kv_type: KVType = "bfloat16",
        rotates_pairs: bool = True,
    ) -> None:
        """`rotates_pairs`: the rows of Q and K in the file turn as adjacent pairs.

        Raises ModelLoadError if a tensor is missing or does not fit `config`, or if the kernels cannot compute it.
        """
        _check(config)
        self.config = config
        self._library = library
        self._kv_type = kv_type
        self._reader = _Reader(config, weights, library, rotates_pairs)
        self._model = NativeModel(
            library,
            self._reader.model(),
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

    def forward(self, step: StepInput, cache: NativeKVCache) -> Tensor:
        """Compute the step's tokens, keeping their keys and values in `cache`.

        Returns the logits of the wanted tokens, float32 [wanted, vocabulary].
        """
        return self._model.run(step, cache)


class _Reader:
    """Reads a file's tensors in the order and the form that the kernels want."""

    def __init__(self, config: LlamaConfig, weights: Weights, library: NativeLibrary, rotates_pairs: bool) -> None:
        self._config = config
        self._weights = weights
        self._library = library
        self._rotates_pairs = rotates_pairs

    def model(self) -> ModelWeights:
        config, weights = self._config, self._weights
        embedding = self._matrix(self._rows("token_embd.weight", config.vocabulary, config.hidden))
        head = embedding
        if "output.weight" in weights:
            head = self._matrix(self._rows("output.weight", config.vocabulary, config.hidden))
        factors = weights.read("rope_freqs.weight", config.rotated // 2) if "rope_freqs.weight" in weights else None
        turns = frequencies(config.rope_base, config.rotated, config.rope_scale, factors)
        angles = torch.outer(torch.arange(config.context_length, dtype=torch.float32), turns)
        layers = [self._layer(f"blk.{index}.") for index in range(config.layers)]
        norm = weights.read("output_norm.weight", config.hidden)
        return ModelWeights(layers, norm, embedding, head, angles.cos(), angles.sin())

    def _layer(self, prefix: str) -> LayerWeights:
        config = self._config
        gate, up = (self._rows(prefix + name, config.feed_forward, config.hidden) for name in _GATE_UP)
        return LayerWeights(
            attention_norm=self._weights.read(prefix + "attn_norm.weight", config.hidden),
            qkv=self._qkv(prefix),
            output=self._matrix(
                self._rows(prefix + "attn_output.weight", config.hidden, config.heads * config.head_dim)
            ),
            feed_forward_norm=self._weights.read(prefix + "ffn_norm.weight", config.hidden),
            gate_up=self._matrix(_join([gate, up])),
            down=self._matrix(self._rows(prefix + "ffn_down.weight", config.hidden, config.feed_forward)),
        )

    def _qkv(self, prefix: str) -> Matrix:
        """One matrix for all three projections: the query heads first, then the keys', then the values'."""
        config = self._config
        matrices: list[Rows] = []
        biases: list[Tensor] = []
        for letter, heads in zip("qkv", (config.heads, config.kv_heads, config.kv_heads), strict=True):
            name, rows = f"{prefix}attn_{letter}", heads * config.head_dim
            turned = self._rotates_pairs and letter != "v"
            matrix, bias = self._rows(f"{name}.weight", rows, config.hidden), torch.zeros(rows)
            if f"{name}.bias" in self._weights:
                bias = self._weights.read(f"{name}.bias", rows)
            matrices.append(_reorder(matrix, heads, config.rotated) if turned else matrix)
            biases.append(interleaved_to_halves(bias, heads, config.rotated) if turned else bias)
        bias = torch.cat(biases)
        return self._matrix(_join(matrices), bias if bias.any() else None)

    def _matrix(self, rows: Rows, bias: Tensor | None = None) -> Matrix:
        return Matrix(self._library, rows, bias)

    def _rows(self, name: str, rows: int, columns: int) -> Rows:
        tensor = self._weights.take(name, rows, columns)
        parts = split(tensor)
        return dequantize(tensor) if parts is None else parts


_GATE_UP = ("ffn_gate.weight", "ffn_up.weight")


def _check(config: LlamaConfig) -> None:
    """Raises ModelLoadError for what the kernels have no code for."""
    widths = (config.hidden, config.feed_forward, config.head_dim)
    if any(width % _LANES for width in widths) or config.group > _MOST_IN_GROUP:
        raise ModelLoadError("The compiled kernels do not compute models of these dimensions.")


def _reorder(matrix: Rows, heads: int, rotated: int) -> Rows:
    def order(rows: Tensor) -> Tensor:
        return interleaved_to_halves(rows, heads, rotated)

    return matrix.rearrange(order) if isinstance(matrix, QuantizedRows) else order(matrix)


def _join(matrices: list[Rows]) -> Rows:
    quantized = [matrix for matrix in matrices if isinstance(matrix, QuantizedRows)]
    if len(quantized) == len(matrices):
        return concatenate(quantized)
    return torch.cat([matrix.values() if isinstance(matrix, QuantizedRows) else matrix for matrix in matrices])
