"""What is kept comes back, and what was left behind in a block does no harm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from engine.kv_cache import KVShape, KVType, TensorKVCache
from engine.llm_engine import LLMEngine
from engine.step import BLOCK
from tests.engine.running import GREEDY, Result, ask, run, watched_logits

SHAPE, BLOCKS = KVShape(layers=2, kv_heads=3, head_dim=8), 5
COARSENESS: dict[KVType, float] = {"float32": 0, "bfloat16": 2**-8, "int8": 0.51 / 127}  # of a row's largest number
KINDS = pytest.mark.parametrize("kind", COARSENESS)


def make_cache(kind: KVType = "float32", dtype: torch.dtype = torch.float32) -> TensorKVCache:
    return TensorKVCache(SHAPE, BLOCKS, kind, dtype, torch.device("cpu"))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows(count: int, seed: int = 0) -> torch.Tensor:
    """Of sizes from tiny to large: a scale has to be each row's own."""
    return random(count, SHAPE.kv_heads, SHAPE.head_dim, seed=seed) * torch.logspace(-4, 4, count)[:, None, None]


@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rows_come_back_by_their_blocks(kind: KVType, dtype: torch.dtype) -> None:
    cache, keys, values = make_cache(kind, dtype), rows(BLOCK + 2).to(dtype), rows(BLOCK + 2, seed=1).to(dtype)
    slots = torch.tensor([*range(4 * BLOCK, 5 * BLOCK), BLOCK, BLOCK + 1])
    cache.write(1, keys, values, slots)
    coarseness = max(COARSENESS[kind], 0 if dtype is torch.float32 or kind == "bfloat16" else 2**-8 + COARSENESS[kind])
    for kept, read in zip((keys, values), cache.read(1, torch.tensor([4, 1])), strict=True):
        assert read.dtype == dtype
        missed = (read[:, : BLOCK + 2].transpose(0, 1).float() - kept.float()).abs()
        assert (missed <= coarseness * kept.float().abs().amax(-1, keepdim=True)).all()


@KINDS
def test_a_row_of_zeros_stays_zero(kind: KVType) -> None:
    cache, zeros = make_cache(kind), torch.zeros(1, SHAPE.kv_heads, SHAPE.head_dim)
    cache.write(0, zeros, zeros, torch.tensor([3]))
    for read in cache.read(0, torch.tensor([0])):
        assert not read[:, 3].any()


@KINDS
def test_a_copied_block_says_the_same_in_every_layer(kind: KVType) -> None:
    cache, slots = make_cache(kind), torch.arange(2 * BLOCK, 3 * BLOCK)
    for layer in range(SHAPE.layers):
        cache.write(layer, rows(BLOCK, seed=layer), rows(BLOCK, seed=9), slots)
    cache.copy(2, 4)
    for layer in range(SHAPE.layers):
        for read in cache.read(layer, torch.tensor([2, 4])):
            assert torch.equal(read[:, :BLOCK], read[:, BLOCK:])


@KINDS
def test_it_takes_the_memory_that_its_shape_says(kind: KVType) -> None:
    assert make_cache(kind).nbytes == BLOCKS * SHAPE.bytes_per_block(kind)


def test_eight_bits_take_little_more_than_half_of_sixteen() -> None:
    wide = KVShape(layers=30, kv_heads=3, head_dim=64)
    assert wide.bytes_per_block("int8") < 0.54 * wide.bytes_per_block("bfloat16")


@KINDS
def test_what_a_broken_answer_left_in_the_cache_does_not_reach_the_next(
    make_engine: Callable[..., LLMEngine], kind: KVType
) -> None:
    prompts = [[9] * 5, list(range(70)), list(range(64))]
    clean = [ask(make_engine(dtype_path="eager", kv_dtype=kind), prompt, GREEDY).tokens for prompt in prompts]
    engine = make_engine(dtype_path="eager", kv_dtype=kind)
    cache = engine._runner._cache
    with torch.inference_mode():
        for store in (cache._keys, cache._values):
            store.tensors[-1].fill_(torch.nan)  # for int8 these are the scales
    assert [ask(engine, prompt, GREEDY).tokens for prompt in prompts] == clean


def test_rounded_keys_and_values_change_the_logits_a_little(make_engine: Callable[..., LLMEngine]) -> None:
    prompt = list(range(200))
    rows = {}
    for kind in COARSENESS:
        results: dict[str, Result] = {}
        engine = make_engine(dtype_path="eager", kv_dtype=kind)
        with watched_logits(engine, results):
            engine.add_request("r", prompt, GREEDY)
            run(engine, results)
        rows[kind] = results["r"].logits[0]
    size = rows["float32"].abs().max()
    assert 0 < (rows["bfloat16"] - rows["float32"]).abs().max() < 0.02 * size
    assert 0 < (rows["int8"] - rows["float32"]).abs().max() < 0.05 * size
