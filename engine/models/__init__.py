"""The models by the architecture that a GGUF file names."""

from __future__ import annotations

from engine.models.llama import Llama, Qwen2

MODELS: dict[str, type[Llama]] = {"llama": Llama, "qwen2": Qwen2}
