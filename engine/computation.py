"""The forms that a model can compute in, made from one plan: PyTorch's operations, or the compiled kernels.

PyTorch's compute on any device. The kernels compute on the processor, several times as fast, where they are built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.config import EngineConfig
from engine.device import count_threads, free_memory, use_threads
from engine.errors import ModelLoadError
from engine.kernels.interface import NativeLibrary
from engine.kernels.library import open_library
from engine.kv_cache import KVCache, KVType
from engine.layers.integer_linear import IntegerLinear, multiplies_integers_fast
from engine.layers.linear import TiledLinear
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Progress, Weights
from engine.memory_budget import LEAST_TOKENS, WeightForm, make_budget
from engine.models import MODELS
from engine.models.base import Model
from engine.models.config import LlamaConfig
from engine.models.llama import Llama, Numerics
from engine.models.llama_weights import LlamaWeights
from engine.models.native import NativeLlama
from engine.step import BLOCK, blocks_for

_KV_TOKENS = 16_384  # all sequences together, and so the longest context, unless the configuration says otherwise
_SETS = {"avx512": "AVX-512 VNNI", "avx2": "AVX2", "portable": "portable"}


@dataclass(slots=True, frozen=True, eq=False)
class Computation:
    """A model in a form that computes, and the cache it computes on. `title` says in words which form that is.

    `native` is the form of the compiled kernels.
    """

    model: Model
    cache: KVCache
    title: str
    native: bool = False


@dataclass(slots=True, frozen=True, eq=False)
class Plan:
    """What is to be computed, in whatever form. The file stays open while that is built."""

    name: str
    file: GGUFFile
    describe: Callable[[LlamaConfig, Weights], LlamaWeights]
    dimensions: LlamaConfig
    blocks: int  # of the cache, if they fit
    least_blocks: int  # fewer are not worth it, or not what was asked for

    @classmethod
    def of(cls, name: str, file: GGUFFile, config: EngineConfig) -> Plan:
        """The plan for a file. Raises ModelLoadError for what no form can compute."""
        describe = MODELS.get(file.architecture)
        if describe is None:
            known = ", ".join(sorted(MODELS))
            raise ModelLoadError(f"{name} is a {file.architecture:.40} model. The engine computes only these: {known}.")
        dimensions = LlamaConfig.from_gguf(file)
        kv_tokens = config.kv_tokens or _KV_TOKENS
        context_length = min(config.context_length or min(kv_tokens, _KV_TOKENS), dimensions.context_length)
        blocks = blocks_for(max(kv_tokens, context_length))
        least = blocks if config.kv_tokens else blocks_for(min(context_length, config.context_length or LEAST_TOKENS))
        return cls(name, file, describe, replace(dimensions, context_length=context_length), blocks, least)

    def fitted(self, config: EngineConfig, form: WeightForm, device: torch.device) -> Plan:
        """The same with as many blocks as fit beside weights in that form; contexts may be shorter, then.

        Raises ModelLoadError if too few do.
        """
        model = self.dimensions
        block = model.kv_shape.bytes_per_block(_kv_type(config))
        budget = make_budget(
            self.file, model, form, block, rows=config.max_tokens_per_step, logits=config.max_batch_size
        )
        blocks = budget.choose_blocks(self.name, self.blocks, self.least_blocks, free_memory(device))
        context_length = min(model.context_length, blocks * BLOCK)
        return replace(self, dimensions=replace(model, context_length=context_length), blocks=blocks)

    def weights(self, progress: Progress | None) -> LlamaWeights:
        return self.describe(self.dimensions, Weights(self.file, progress))


def compute_natively(plan: Plan, config: EngineConfig, library: Path, progress: Progress | None) -> Computation:
    """With the compiled kernels in `library`.

    Raises KernelsUnavailable if they cannot, and ModelLoadError if the file does not hold what it should.
    """
    use_threads(1)  # packing is many small operations, in which threads would mostly wait for each other
    kernels = NativeLibrary(open_library(library))
    plan = plan.fitted(config, "packed", torch.device("cpu"))
    threads = count_threads(config)
    model = NativeLlama(plan.dimensions, plan.weights(progress), kernels, threads=threads, kv_type=_kv_type(config))
    title = f"native kernels, {_SETS[kernels.kernels]}, {_count(threads)}"
    return Computation(model, model.make_cache(plan.blocks), title, native=True)


def compute_eagerly(plan: Plan, config: EngineConfig, device: torch.device, progress: Progress | None) -> Computation:
    """With PyTorch's kernels. Raises ModelLoadError if the file does not hold what it should."""
    use_threads(count_threads(config))
    numerics = _numerics(config, device)
    plan = plan.fitted(config, _weight_form(numerics), device)
    model = Llama(plan.dimensions, plan.weights(progress), numerics)
    kind = "16-bit integers" if numerics.make_linear is IntegerLinear else str(numerics.dtype).removeprefix("torch.")
    place = _count(count_threads(config)) if device.type == "cpu" else device.type.upper()
    return Computation(model, model.make_cache(plan.blocks), f"PyTorch's kernels, {kind}, {place}")


def _numerics(config: EngineConfig, device: torch.device) -> Numerics:
    fast = config.dtype_path != "reference"
    kv_type = _kv_type(config)
    if fast and multiplies_integers_fast(device):
        return Numerics(IntegerLinear, torch.float32, kv_type, device)
    dtype = torch.bfloat16 if fast and device.type != "cpu" else torch.float32
    return Numerics(
        lambda weight, bias: TiledLinear(weight.to(device, dtype), None if bias is None else bias.to(device, dtype)),
        dtype,
        kv_type,
        device,
    )


def _kv_type(config: EngineConfig) -> KVType:
    if config.kv_dtype == "auto":
        return "float32" if config.dtype_path == "reference" else "bfloat16"
    return config.kv_dtype


def _weight_form(numerics: Numerics) -> WeightForm:
    if numerics.make_linear is IntegerLinear:
        return "planes"
    return "bfloat16" if numerics.dtype is torch.bfloat16 else "float32"


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
