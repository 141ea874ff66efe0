"""The compiled model: close to the reference, and the same to the last bit however a step is put together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import EngineError, KernelsUnavailable
from engine.kernels.interface import NativeLibrary
from engine.kernels.native import NativeKVCache
from engine.kv_cache import KVType
from engine.layers.linear import TiledLinear
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Weights
from engine.models import MODELS
from engine.models.config import LlamaConfig
from engine.models.llama import Llama, Numerics
from engine.models.native import NativeLlama
from engine.sampler import Pick
from engine.sampling_params import SamplingParams
from engine.step import Span, StepInput, blocks_for
from tests.tiny_model import HIDDEN, VOCABULARY, write_tiny_model

KV_TYPES: tuple[KVType, ...] = ("float32", "bfloat16", "int8")
# How far 99 of 100 logits may be from the reference's, which go up to about 40. Most of it is the cache's rounding, and
# random weights make attention that is all or nothing: a few logits are farther off.
TOLERANCE = {"float32": 0.005, "bfloat16": 0.2, "int8": 0.6}
BLOCKS = 160
# Around a block, around what a task of attention takes at once, and around a chunk of keys.
LENGTHS = [1, 2, 7, 8, 9, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 255, 256, 257]


def normal(*shape: int, scale: float = 0.2, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


FORMS: dict[str, dict[str, Any]] = {
    "llama": {},
    "biases": {"architecture": "qwen2"},
    "own head": {"output.weight": normal(VOCABULARY, HIDDEN, scale=1)},
    "one key head": {
        "attention.head_count_kv": 1,
        **{f"blk.{layer}.attn_{letter}.weight": normal(16, HIDDEN) for layer in (0, 1) for letter in "kv"},
    },
    "one wide head": {
        "attention.head_count": 1,
        "attention.head_count_kv": 1,
        "rope.dimension_count": 64,
        **{f"blk.{layer}.attn_{letter}.weight": normal(64, HIDDEN) for layer in (0, 1) for letter in "kv"},
    },
    "half rotated": {"rope.dimension_count": 8},
    "deaf gates": {"blk.0.ffn_gate.weight": normal(96, HIDDEN, scale=20)},  # sums of up to some hundreds
}


def tokens(count: int, seed: int = 0) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(VOCABULARY) for _ in range(count)]


def native(path: Path, library: NativeLibrary, kv_type: KVType = "bfloat16", threads: int = 1) -> NativeLlama:
    with GGUFFile.open(path) as file, torch.inference_mode():
        config = LlamaConfig.from_gguf(file)
        weights = MODELS[file.architecture](config, Weights(file))
        return NativeLlama(config, weights, library, threads=threads, kv_type=kv_type)


def reference(path: Path) -> Llama:
    numerics = Numerics(TiledLinear, torch.float32, "float32", torch.device("cpu"))
    with GGUFFile.open(path) as file, torch.inference_mode():
        config = LlamaConfig.from_gguf(file)
        return Llama(config, MODELS[file.architecture](config, Weights(file)), numerics)


def span_of(ids: Sequence[int], start: int, blocks: Sequence[int]) -> tuple[list[int], Span]:
    return list(ids), Span(start, len(ids), blocks)


def step(*parts: tuple[list[int], Span]) -> StepInput:
    """The parts side by side, with all logits wanted."""
    ids = [token for part, _ in parts for token in part]
    return StepInput(ids, [span for _, span in parts], list(range(len(ids))))


@torch.inference_mode()
def compute(model: NativeLlama | Llama, cache: Any, *parts: tuple[list[int], Span]) -> list[Tensor]:
    """The logits of each part."""
    return list(model.forward(step(*parts), cache).split([len(ids) for ids, _ in parts]))


def lone(model: NativeLlama | Llama, ids: list[int]) -> Tensor:
    """All logits of one sequence that is computed at once, and by itself."""
    blocks = blocks_for(len(ids))
    return compute(model, model.make_cache(blocks), span_of(ids, 0, range(blocks)))[0]


def distance(one: Tensor, other: Tensor) -> float:
    """That 99 of 100 logits are not farther apart than."""
    return float(np.quantile((one - other).abs().numpy(), 0.99))


def soiled(model: NativeLlama, blocks: int = BLOCKS) -> NativeKVCache:
    """A cache in which there is not a single number yet."""
    cache = model.make_cache(blocks)
    cache._memory.fill(255)
    return cache


def write(tmp_path: Path, form: str) -> Path:
    return write_tiny_model(tmp_path / "form.gguf", **FORMS[form])


@pytest.mark.parametrize("form", FORMS)
def test_the_logits_are_nearly_those_of_the_reference(library: NativeLibrary, tmp_path: Path, form: str) -> None:
    path, ids = write(tmp_path, form), tokens(300)
    expected = lone(reference(path), ids)
    for kv_type in KV_TYPES:
        error = distance(lone(native(path, library, kv_type), ids), expected)
        assert error < TOLERANCE[kv_type], f"with a cache of {kv_type}"


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_prompts_of_every_length_side_by_side_have_the_bits_of_one(
    library: NativeLibrary, tiny_model: Path, kv_type: KVType
) -> None:
    """And so has the token that each of them goes on with. No two blocks of a prompt lie where they should."""
    model, ids = native(tiny_model, library, kv_type, threads=2), tokens(258)
    whole = lone(model, ids)
    free = random.Random(1).sample(range(BLOCKS), BLOCKS)
    tables = [[free.pop() for _ in range(blocks_for(length + 1))] for length in LENGTHS]
    cache = soiled(model)
    prompts = [span_of(ids[:length], 0, table) for length, table in zip(LENGTHS, tables, strict=True)]
    for length, logits in zip(LENGTHS, compute(model, cache, *prompts), strict=True):
        assert torch.equal(logits, whole[:length]), f"a prompt of {length} is computed otherwise among others"
    nexts = [span_of(ids[length : length + 1], length, table) for length, table in zip(LENGTHS, tables, strict=True)]
    for length, logits in zip(LENGTHS, compute(model, cache, *nexts), strict=True):
        assert torch.equal(logits[0], whole[length]), f"the token after {length} is computed otherwise"


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("chunk", [1, 2, 5, 8, 9, 12, 16, 24, 100, 256, 257])
def test_a_prompt_in_chunks_has_the_bits_of_one_at_once(
    library: NativeLibrary, tiny_model: Path, kv_type: KVType, chunk: int
) -> None:
    """The memory is as it was left by others, and a decoding neighbour is in every step."""
    model, count = native(tiny_model, library, kv_type, threads=2), min(300, 40 * chunk)
    ids, other = tokens(count), tokens(count, seed=1)
    whole, neighbour = lone(model, ids), lone(model, other)
    cache, blocks, others = soiled(model), range(20, 40), range(60, 90)
    for turn, start in enumerate(range(0, count, chunk)):
        mine, theirs = compute(
            model,
            cache,
            span_of(ids[start : start + chunk], start, blocks),
            span_of(other[turn : turn + 1], turn, others),
        )
        assert torch.equal(mine, whole[start : start + chunk]), f"from {start} on the bits differ"
        assert torch.equal(theirs[0], neighbour[turn])


@pytest.mark.parametrize("form", FORMS)
def test_any_number_of_threads_gives_the_same_bits(library: NativeLibrary, tmp_path: Path, form: str) -> None:
    """More threads than cores, and with one row more threads than there is work for."""
    path, ids = write(tmp_path, form), tokens(70)
    one = native(path, library)
    whole, first = lone(one, ids), lone(one, ids[:1])
    for threads in (2, 5):
        several = native(path, library, threads=threads)
        for _ in range(3):
            assert torch.equal(lone(several, ids), whole), f"{threads} threads compute something else"
            assert torch.equal(lone(several, ids[:1]), first)


def test_instruction_sets_agree(opened: NativeLibrary, tmp_path: Path) -> None:
    """To the bit where products are not rounded before they are added."""
    for form in FORMS:
        path, results = write(tmp_path, form), {}
        for name in ("avx512", "avx2", "portable"):
            try:
                opened.use(name)
            except ValueError:
                continue
            results[name] = lone(native(path, opened, "float32"), tokens(40))
        portable = results.pop("portable")
        for result in results.values():
            assert torch.equal(result, next(iter(results.values()))), f"{form}: {list(results)} differ"
            assert distance(result, portable) < TOLERANCE["float32"]


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_after_a_block_is_copied_two_texts_go_on_by_themselves(
    library: NativeLibrary, tiny_model: Path, kv_type: KVType
) -> None:
    model = native(tiny_model, library, kv_type)
    shared, one, other = tokens(21), tokens(30, seed=1), tokens(30, seed=2)
    cache = soiled(model)
    compute(model, cache, span_of(shared, 0, [3, 7]))
    cache.copy(7, 11)
    parts = span_of(one, 21, [3, 7, 8, 9]), span_of(other, 21, [3, 11, 12, 13])
    for text, logits in zip((one, other), compute(model, cache, *parts), strict=True):
        assert torch.equal(logits, lone(model, shared + text)[21:])


def test_only_what_is_wanted_is_computed_to_the_end(library: NativeLibrary, tiny_model: Path) -> None:
    model, ids = native(tiny_model, library), tokens(40)
    whole, cache, span = lone(model, ids), model.make_cache(3), Span(0, 40, range(3))
    for wanted in ([], [39], [0, 7, 8, 38]):
        assert torch.equal(model.forward(StepInput(ids, [span], wanted), cache), whole[wanted])
    assert model.forward(StepInput([], [], []), cache).shape == (0, VOCABULARY)


def test_guesses_that_were_wrong_leave_nothing_behind(library: NativeLibrary, tiny_model: Path) -> None:
    """Their keys and values are written over by the tokens that come instead."""
    model, ids = native(tiny_model, library), tokens(45)
    whole, cache = lone(model, ids), soiled(model)
    compute(model, cache, span_of(ids[:30], 0, range(4)))
    compute(model, cache, span_of(tokens(15, seed=3), 30, range(4)))
    for place in range(30, 45):
        assert torch.equal(compute(model, cache, span_of(ids[place : place + 1], place, range(4)))[0][0], whole[place])


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_token_that_is_no_number_spoils_its_own_text_and_no_other(
    library: NativeLibrary, tmp_path: Path, kv_type: KVType, bad: float
) -> None:
    """It shows in all that comes after it, and whoever samples from that is told."""
    embedding = normal(VOCABULARY, HIDDEN, scale=1).astype(np.float16)
    embedding[7, 5] = bad
    changes = {"token_embd.weight": embedding, "output.weight": normal(VOCABULARY, HIDDEN, scale=1)}
    path = write_tiny_model(tmp_path / "bad.gguf", **changes)
    model, good = native(path, library, kv_type), [token for token in tokens(30) if token != 7]
    spoiled = [*good[:9], 7, *good[9:]]
    result, other = compute(model, model.make_cache(8), span_of(spoiled, 0, range(4)), span_of(good, 0, range(4, 8)))
    assert torch.equal(other, lone(model, good))
    assert not result[9:].isfinite().any(), "what is no number turned into numbers"
    with pytest.raises(EngineError, match="not numbers"):
        model.make_sampler()(result[-1:], [Pick(SamplingParams(), 0, 0)])


def test_a_step_that_no_model_could_compute_is_a_mistake(opened: NativeLibrary, tiny_model: Path) -> None:
    model = native(tiny_model, opened)
    cache = model.make_cache(4)
    for ids, span, wanted in (
        ([0], Span(0, 2, [0]), []),  # fewer tokens than the span has
        ([VOCABULARY], Span(0, 1, [0]), []),
        ([-1], Span(0, 1, [0]), []),
        ([0], Span(0, 1, [0]), [1]),
        ([0], Span(0, 1, [0]), [-1]),
        ([0], Span(0, 1, []), []),
        ([0], Span(0, 1, [4]), []),
        ([0], Span(0, 1, [-1]), []),
        ([0], Span(16, 1, [0]), []),
        ([0], Span(-1, 1, [0]), []),
        ([], Span(0, 0, [0]), []),
        ([0], Span(1024, 1, [0] * 65), []),  # past the model's context
    ):
        with pytest.raises(AssertionError):
            model.forward(StepInput(ids, [span], wanted), cache)


@pytest.mark.parametrize(
    "changes", [{"hidden": 72}, {"feed_forward": 100}, {"head_dim": 8}, {"head_dim": 24}, {"heads": 130}]
)
def test_dimensions_without_code_for_them_are_refused(
    opened: NativeLibrary, tiny_model: Path, changes: dict[str, int]
) -> None:
    with GGUFFile.open(tiny_model) as file:
        config = LlamaConfig.from_gguf(file)
        weights = MODELS["llama"](config, Weights(file))
        with pytest.raises(KernelsUnavailable, match="dimensions"):
            NativeLlama(replace(config, **changes), weights, opened, threads=1)
