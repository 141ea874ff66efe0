"""The forms that a model can compute in, made from one plan: PyTorch's operations, or the compiled kernels.

PyTorch's compute on any device. The kernels compute on the processor, several times as fast, where they are built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.config import EngineConfig
from engine.device import GIB, count_threads, free_memory
from engine.errors import ModelLoadError
from engine.kernels.library import open_library
from engine.kernels.native import NativeLibrary
from engine.kv_cache import KVCache, bytes_per_token
from engine.layers.integer_linear import IntegerLinear, multiplies_integers_fast
from engine.layers.linear import TiledLinear
from engine.loader.gguf import GGUFFile
from engine.loader.quantized import packed_width
from engine.loader.weights import Progress, Weights
from engine.models import MODELS
from engine.models.base import Model
from engine.models.config import LlamaConfig
from engine.models.llama import Llama, Numerics
from engine.models.llama_weights import LlamaWeights
from engine.models.native import NativeLlama
from engine.step import BLOCK, blocks_for

_KV_TOKENS = 16_384  # all sequences together, and so the longest context, unless the configuration says otherwise
_LEFT_FREE = 256 << 20  # bytes for activations and everybody else
_SETS = {"avx512": "AVX-512 VNNI", "avx2": "AVX2", "dotprod": "Arm dot products", "portable": "no special instructions"}


@dataclass(slots=True, frozen=True, eq=False)
class Computation:
    """A model in a form that computes, and the cache it computes on. `title` says in words which form that is."""

    model: Model
    cache: KVCache
    title: str


@dataclass(slots=True, frozen=True, eq=False)
class Plan:
    """What is to be computed, in whatever form. The file stays open while that is built."""

    name: str
    file: GGUFFile
    describe: Callable[[LlamaConfig, Weights], LlamaWeights]
    dimensions: LlamaConfig
    blocks: int  # of the cache

    @classmethod
    def of(cls, name: str, file: GGUFFile, config: EngineConfig) -> Plan:
        """The plan for a file. Raises ModelLoadError for what no form can compute."""
        describe = MODELS.get(file.architecture)
        if describe is None:
            known = ", ".join(sorted(MODELS))
            raise ModelLoadError(f"{name} is a {file.architecture:.40} model. The engine computes only these: {known}.")
        dimensions = LlamaConfig.from_gguf(file)
        context_length = min(config.context_length or _KV_TOKENS, dimensions.context_length)
        blocks = blocks_for(max(config.kv_tokens or _KV_TOKENS, context_length))
        return cls(name, file, describe, replace(dimensions, context_length=context_length), blocks)

    def weights(self, progress: Progress | None) -> LlamaWeights:
        return self.describe(self.dimensions, Weights(self.file, progress))

    def check_memory(self, device: torch.device, weight_bytes: int, kv_dtype: torch.dtype) -> None:
        """Raises ModelLoadError if weights, cache and something to work with do not fit in what is free."""
        free = free_memory(device)
        model = self.dimensions
        cache = self.blocks * BLOCK * bytes_per_token(model.layers, model.kv_heads, model.head_dim, kv_dtype)
        needed = weight_bytes + cache + _LEFT_FREE
        if free is not None and needed > free:
            raise ModelLoadError(
                f"{self.name} needs {needed / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are free."
                " Take a smaller model, or close something."
            )


def compute_natively(plan: Plan, config: EngineConfig, library: Path, progress: Progress | None) -> Computation:
    """With the compiled kernels in `library`.

    Raises KernelsUnavailable if they cannot, and ModelLoadError if the file does not hold what it should.
    """
    kernels = NativeLibrary(open_library(library))
    plan.check_memory(torch.device("cpu"), _packed_bytes(plan.file), torch.bfloat16)
    threads = count_threads(config)
    model = NativeLlama(plan.dimensions, plan.weights(progress), kernels, threads=threads)
    title = f"native kernels, {_SETS[kernels.kernels]}, {_count(threads)}"
    return Computation(model, model.make_cache(plan.blocks), title)


def compute_eagerly(plan: Plan, config: EngineConfig, device: torch.device, progress: Progress | None) -> Computation:
    """With PyTorch's kernels. Raises ModelLoadError if the file does not hold what it should."""
    numerics = _numerics(config, device)
    in_integers = numerics.make_linear is IntegerLinear
    weight_bytes = _values(plan.file) * (2 if in_integers else numerics.dtype.itemsize)
    plan.check_memory(device, weight_bytes, numerics.dtype)
    model = Llama(plan.dimensions, plan.weights(progress), numerics)
    kind = "16-bit integers" if in_integers else str(numerics.dtype).removeprefix("torch.")
    place = _count(count_threads(config)) if device.type == "cpu" else device.type.upper()
    return Computation(model, model.make_cache(plan.blocks), f"PyTorch's kernels, {kind}, {place}")


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


def _values(file: GGUFFile) -> int:
    return sum(
        tensor.data.nbytes // tensor.type.block_bytes * tensor.type.block_size for tensor in file.tensors.values()
    )


def _packed_bytes(file: GGUFFile) -> int:
    return sum(
        int(tensor.data.nbytes // tensor.type.block_bytes * tensor.type.block_size * packed_width(tensor.type))
        for tensor in file.tensors.values()
    )


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
