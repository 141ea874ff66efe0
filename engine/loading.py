"""From a file to a model that can compute: what it needs, whether that fits, and how it is put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.config import EngineConfig
from engine.device import GIB, choose_device, free_memory, use_threads
from engine.errors import ModelLoadError
from engine.kv_cache import TensorKVCache, bytes_per_token
from engine.layers.integer_linear import IntegerLinear, multiplies_integers_fast
from engine.layers.linear import TiledLinear
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Progress, Weights
from engine.models import MODELS
from engine.models.base import Model
from engine.models.config import LlamaConfig
from engine.models.llama import Llama, Numerics
from engine.step import BLOCK, blocks_for
from engine.tokenizer import Tokenizer

_KV_TOKENS = 16_384  # all sequences together, and so the longest context, unless the configuration says otherwise
_LEFT_FREE = 256 << 20  # bytes for activations and everybody else


@dataclass(slots=True, frozen=True, eq=False)
class LoadedModel:
    """Everything an engine needs of a model."""

    model: Model
    tokenizer: Tokenizer
    cache: TensorKVCache
    context_length: int


def load_model(path: Path, config: EngineConfig, progress: Progress | None = None) -> LoadedModel:
    """Load the GGUF file at `path`. Raises ModelLoadError with a sentence that says what is wrong."""
    use_threads(config)
    device = choose_device(config.device)
    numerics = _numerics(config, device)
    with GGUFFile.open(path) as file, torch.inference_mode():
        describe = MODELS.get(file.architecture)
        if describe is None:
            known = ", ".join(sorted(MODELS))
            raise ModelLoadError(
                f"{path.name} is a {file.architecture:.40} model. The engine computes only these: {known}."
            )
        dimensions = LlamaConfig.from_gguf(file)
        context_length = min(config.context_length or _KV_TOKENS, dimensions.context_length)
        dimensions = replace(dimensions, context_length=context_length)
        blocks = blocks_for(max(config.kv_tokens or _KV_TOKENS, context_length))
        _check_memory(path.name, file, dimensions, numerics, blocks)
        tokenizer = Tokenizer.from_gguf(file, config.tokenizer_path)
        if tokenizer.vocab_size > dimensions.vocabulary:
            raise ModelLoadError(f"{path.name} has more tokens than the model has vectors for them.")
        model = Llama(dimensions, describe(dimensions, Weights(file, progress)), numerics)
        return LoadedModel(model, tokenizer, model.make_cache(blocks), context_length)


def _numerics(config: EngineConfig, device: torch.device) -> Numerics:
    fast = config.dtype_path != "reference"
    if fast and multiplies_integers_fast(device):
        return Numerics(IntegerLinear, torch.float32, device)
    dtype = torch.bfloat16 if fast and device.type != "cpu" else torch.float32
    return Numerics(
        lambda weight, bias: TiledLinear(weight.to(device, dtype), None if bias is None else bias.to(device, dtype)),
        dtype,
        device,
    )


def _check_memory(name: str, file: GGUFFile, model: LlamaConfig, numerics: Numerics, blocks: int) -> None:
    """Raises ModelLoadError if the weights, the cache and something to work with do not fit in what is free."""
    free = free_memory(numerics.device)
    if free is None:
        return
    bytes_per_weight = 2 if numerics.make_linear is IntegerLinear else numerics.dtype.itemsize
    elements = sum(
        tensor.data.nbytes // tensor.type.block_bytes * tensor.type.block_size for tensor in file.tensors.values()
    )
    cache = blocks * BLOCK * bytes_per_token(model.layers, model.kv_heads, model.head_dim, numerics.dtype)
    needed = elements * bytes_per_weight + cache + _LEFT_FREE
    if needed > free:
        raise ModelLoadError(
            f"{name} needs {needed / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are free."
            " Take a smaller model, or close something."
        )
