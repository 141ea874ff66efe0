"""What is kept comes back, and what was left behind in a block does no harm."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.kv_cache import TensorKVCache
from engine.llm_engine import LLMEngine
from engine.step import BLOCK
from tests.engine.running import GREEDY, ask

LAYERS, KV_HEADS, HEAD_DIM, BLOCKS = 2, 3, 8, 5


def make_cache() -> TensorKVCache:
    return TensorKVCache(LAYERS, KV_HEADS, HEAD_DIM, BLOCKS, torch.float32, torch.device("cpu"))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_come_back_by_their_blocks() -> None:
    cache, keys, values = make_cache(), random(BLOCK + 2, KV_HEADS, HEAD_DIM), random(BLOCK + 2, KV_HEADS, HEAD_DIM)
    slots = torch.tensor([*range(4 * BLOCK, 5 * BLOCK), BLOCK, BLOCK + 1])
    cache.write(1, keys, values, slots)
    for rows, read in zip((keys, values), cache.read(1, torch.tensor([4, 1])), strict=True):
        assert torch.equal(read[:, : BLOCK + 2], rows.transpose(0, 1))


def test_a_copied_block_says_the_same_in_every_layer() -> None:
    cache, slots = make_cache(), torch.arange(2 * BLOCK, 3 * BLOCK)
    for layer in range(LAYERS):
        cache.write(layer, random(BLOCK, KV_HEADS, HEAD_DIM, seed=layer), random(BLOCK, KV_HEADS, HEAD_DIM), slots)
    cache.copy(2, 4)
    for layer in range(LAYERS):
        for read in cache.read(layer, torch.tensor([2, 4])):
            assert torch.equal(read[:, :BLOCK], read[:, BLOCK:])


def test_it_says_how_much_memory_it_may_take() -> None:
    assert make_cache().nbytes == 2 * LAYERS * KV_HEADS * BLOCKS * BLOCK * HEAD_DIM * 4


def test_what_a_broken_answer_left_in_the_cache_does_not_reach_the_next(make_engine: Callable[..., LLMEngine]) -> None:
    prompts = [[9] * 5, list(range(70)), list(range(64))]
    clean = [ask(make_engine(dtype_path="eager"), prompt, GREEDY).tokens for prompt in prompts]
    engine = make_engine(dtype_path="eager")
    cache = engine._runner._cache
    with torch.inference_mode():
        for store in (cache._keys, cache._values):
            store.fill_(torch.nan)
    assert [ask(engine, prompt, GREEDY).tokens for prompt in prompts] == clean
