"""The models by the architecture that a GGUF file names: how each describes the weights in its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.loader.weights import Weights
from engine.models.config import LlamaConfig
from engine.models.llama_weights import LlamaWeights, describe

MODELS: dict[str, Callable[[LlamaConfig, Weights], LlamaWeights]] = {
    "llama": partial(describe, rotates_pairs=True),  # also SmolLM2, Mistral, TinyLlama
    "qwen2": partial(describe, rotates_pairs=False),  # which adds biases to Q, K and V
}
