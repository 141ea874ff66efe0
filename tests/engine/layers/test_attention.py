"""Attention over scattered blocks is what the formula says, and each token's is the same in any company."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from engine.kv_cache import KVShape, TensorKVCache
from engine.layers.attention import KEYS, SHORT, attend
from engine.layers.layout import lay_out
from engine.step import BLOCK, Span, StepInput, blocks_for

HEADS, KV_HEADS, HEAD_DIM, BLOCKS = 6, 2, 16, 60
CPU = torch.device("cpu")
SPANS = [(0, 1), (0, SHORT + 1), (KEYS - 1, 1), (KEYS, SHORT), (5, 3), (3 * KEYS + 7, 2), (BLOCK, 37), (2 * KEYS, 1)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def cache() -> TensorKVCache:
    cache = TensorKVCache(KVShape(1, KV_HEADS, HEAD_DIM), BLOCKS, "float32", torch.float32, CPU)
    rows = BLOCKS * BLOCK
    cache.write(
        0, normal(rows, KV_HEADS, HEAD_DIM, seed=1), normal(rows, KV_HEADS, HEAD_DIM, seed=2), torch.arange(rows)
    )
    return cache


def scattered(start: int, count: int, seed: int) -> Span:
    """A span on blocks from anywhere, some of which other spans see, too. It has more of them than it needs."""
    return Span(start, count, random.Random(seed).sample(range(BLOCKS), blocks_for(start + count) + 2))


def attended(queries: Tensor, spans: list[Span], cache: TensorKVCache) -> Tensor:
    layout = lay_out(StepInput([0] * len(queries), spans, []), HEADS // KV_HEADS, CPU)
    return attend(queries, cache, 0, layout.attention)


def by_the_formula(queries: Tensor, span: Span, cache: TensorKVCache) -> Tensor:
    seen = span.start + span.count
    keys, values = (x[:, :seen].double() for x in cache.read(0, torch.tensor(span.blocks)))
    grouped = queries.double().view(span.count, KV_HEADS, -1, HEAD_DIM)
    scores = torch.einsum("tkgd,ksd->tkgs", grouped, keys) / HEAD_DIM**0.5
    later = torch.arange(seen) > torch.arange(span.start, seen)[:, None]
    weights = scores.masked_fill(later[:, None, None], -torch.inf).softmax(-1)
    return torch.einsum("tkgs,ksd->tkgd", weights, values).reshape(span.count, HEADS, HEAD_DIM).float()


def test_every_span_of_a_mixed_step_sees_what_the_formula_says(cache: TensorKVCache) -> None:
    spans = [scattered(*span, seed) for seed, span in enumerate(SPANS)]
    queries = normal(sum(span.count for span in spans), HEADS, HEAD_DIM)
    result, row = attended(queries, spans, cache), 0
    for span in spans:
        rows = slice(row, row + span.count)
        assert (result[rows] - by_the_formula(queries[rows], span, cache)).abs().max() < 1e-5, f"{span} is wrong"
        row += span.count


@pytest.mark.parametrize("piece", [1, 2, 3, SHORT, SHORT + 1])
def test_a_span_in_pieces_and_among_others_has_the_bits_of_the_whole(cache: TensorKVCache, piece: int) -> None:
    whole = scattered(KEYS - 10, 30, seed=3)
    queries = normal(whole.count, HEADS, HEAD_DIM)
    expected = attended(queries, [whole], cache)
    for done in range(0, whole.count, piece):
        part = Span(whole.start + done, min(piece, whole.count - done), whole.blocks)
        rows = queries[done : done + part.count]
        assert torch.equal(attended(rows, [part], cache), expected[done : done + part.count])
        before, after = scattered(3 * KEYS, 1, seed=4), scattered(0, 20, seed=5)
        mixed = torch.cat((normal(1, HEADS, HEAD_DIM, seed=6), rows, normal(20, HEADS, HEAD_DIM, seed=7)))
        result = attended(mixed, [before, part, after], cache)
        assert torch.equal(result[1 : 1 + part.count], expected[done : done + part.count])
