"""Causal attention over cached keys and values, whose result for a token does not depend on the other tokens.

Every matrix product is of one shape: `QUERIES` consecutive queries of a sequence (all query heads that share a key
head, as rows) against `KEYS` consecutive keys of it, gathered from their blocks. Scores past a query's own position are
masked, the maximum is exact, and what the groups of keys contribute is summed along a tree over their places in the
sequence, in which groups that are masked or missing are exact zeros. So a token gets the same bits whether it is
decoded alone or in a batch, or prefilled in chunks of any size.

`index_spans` and `plan` say once a step who meets whom; `attend` then runs in every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.kv_cache import TensorKVCache
from engine.step import BLOCK, Span

QUERIES = 2
KEYS = 128
SHORT = 8  # tokens: a span of so many is computed together with others, its drafts for speculation for example
_GROUP_BLOCKS = KEYS // BLOCK
_SCORES_AT_ONCE = 8 << 20  # elements: bounds the memory of a long chunk over a long context

Indices = NDArray[np.int64]


class SpanIndices(NamedTuple):
    """Numbers of the host that `plan` needs on the device.

    Short spans are cut into tiles of queries. A pair is such a tile and one group of the keys that it sees.
    """

    rows: Indices  # [tiles, QUERIES], rows of the step; a tile of one query has it twice
    blocks: Indices  # [pairs * _GROUP_BLOCKS]
    owners: Indices  # [pairs], the tile of each
    ordinals: Indices  # [pairs], the place of each group of keys in its sequence
    pairs: Indices  # [tiles, most groups], the pair of each of a tile's groups; past the end: `len(owners)`
    long_blocks: Indices  # [all groups of keys of all long spans * _GROUP_BLOCKS]


@dataclass(slots=True, frozen=True, eq=False)
class _ShortSpans:
    """All short spans, whose tiles are computed together."""

    rows: Tensor
    blocks: Tensor
    owners: Tensor
    pairs: Tensor
    hidden: Tensor  # bool [pairs, QUERIES * group, KEYS], the scores that are masked


@dataclass(slots=True, frozen=True, eq=False)
class _LongSpan:
    """A long span, whose tiles share their sequence's keys. Its rows lie side by side."""

    first_row: int
    count: int
    blocks: Tensor
    hidden: Tensor  # bool [groups, 1, tiles, QUERIES * group, KEYS], the scores that are masked


@dataclass(slots=True, frozen=True, eq=False)
class AttentionPlan:
    """A step's attention: who sees what."""

    short: _ShortSpans | None
    long: Sequence[_LongSpan]


def index_spans(spans: Sequence[Span]) -> SpanIndices:
    """The numbers for a step whose rows are the tokens of `spans`, one after the other."""
    tiles = [tile for span, row in _placed(spans) if span.count <= SHORT for tile in _cut(span, row)]
    groups = [_key_blocks(tile) for tile, _ in tiles]
    counts = [len(blocks) // _GROUP_BLOCKS for blocks in groups]
    ordinals = [np.arange(count) for count in counts]
    pairs = np.full((len(tiles), max(counts, default=0)), sum(counts))
    for number, count in enumerate(counts):
        pairs[number, :count] = sum(counts[:number]) + ordinals[number]
    return SpanIndices(
        rows=np.array([(row, row + tile.count - 1) for tile, row in tiles], dtype=np.int64).reshape(-1, QUERIES),
        blocks=_joined(groups),
        owners=np.repeat(np.arange(len(tiles)), counts),
        ordinals=_joined(ordinals),
        pairs=pairs,
        long_blocks=_joined([_key_blocks(span) for span in spans if span.count > SHORT]),
    )


def plan(spans: Sequence[Span], indices: Sequence[Tensor], positions: Tensor, group: int) -> AttentionPlan:
    """The same with the numbers on the device: `indices` are those of SpanIndices, `positions` [tokens] the rows'.

    `group` is the number of query heads that share a key head.
    """
    rows, blocks, owners, ordinals, pairs, long_blocks = indices
    long, taken = [], 0
    for span, row in _placed(spans):
        if span.count > SHORT:
            size = len(_key_blocks(span))
            long.append(_plan_long(span, row, long_blocks[taken : taken + size], positions, group))
            taken += size
    if not len(rows):
        return AttentionPlan(None, long)
    hidden = _hidden(positions[rows][owners], ordinals[:, None, None], group)
    return AttentionPlan(_ShortSpans(rows, blocks, owners, pairs, hidden), long)


def attend(queries: Tensor, cache: TensorKVCache, layer: int, plan: AttentionPlan) -> Tensor:
    """What the tokens of a step see in the cache of one layer. [tokens, heads, head_dim] -> the same."""
    scaled = queries * queries.shape[2] ** -0.5
    result = torch.empty_like(queries)
    if plan.short is not None:
        result[plan.short.rows] = _attend_short(scaled, cache, layer, plan.short)
    for span in plan.long:
        end = span.first_row + span.count
        result[span.first_row : end] = _attend_long(scaled[span.first_row : end], cache, layer, span)
    return result


def _placed(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    """The spans, each with its first row."""
    rows = np.cumsum([0, *(span.count for span in spans)])
    return list(zip(spans, rows[:-1].tolist(), strict=True))


def _cut(span: Span, row: int) -> list[tuple[Span, int]]:
    """A span in tiles of at most QUERIES tokens, each with its first row."""
    return [
        (Span(span.start + done, min(QUERIES, span.count - done), span.blocks), row + done)
        for done in range(0, span.count, QUERIES)
    ]


def _key_blocks(span: Span) -> Indices:
    """The blocks that a span sees, filled up to whole groups with the last of them, which is masked there."""
    groups = -(-(span.start + span.count) // KEYS)
    last = (span.start + span.count - 1) // BLOCK
    blocks = np.asarray(span.blocks[: last + 1], dtype=np.int64)
    return np.pad(blocks, (0, groups * _GROUP_BLOCKS - len(blocks)), mode="edge")


def _joined(arrays: Sequence[Indices]) -> Indices:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)


def _plan_long(span: Span, first_row: int, blocks: Tensor, positions: Tensor, group: int) -> _LongSpan:
    padded = functional.pad(positions[first_row : first_row + span.count], (0, -span.count % QUERIES))
    ordinals = torch.arange(len(blocks) // _GROUP_BLOCKS, device=blocks.device)
    hidden = _hidden(padded.view(-1, QUERIES), ordinals[:, None, None, None], group)
    return _LongSpan(first_row, span.count, blocks, hidden.unsqueeze(1))


def _hidden(positions: Tensor, ordinals: Tensor, group: int) -> Tensor:
    """Which keys of the groups `ordinals` [..., 1, 1] lie past which queries, of `positions` [..., QUERIES].

    Returns bool [..., QUERIES * group, KEYS].
    """
    keys = ordinals * KEYS + torch.arange(KEYS, device=positions.device)
    return keys > positions.repeat_interleave(group, dim=-1).unsqueeze(-1)


def _fold(tiles: Tensor, kv_heads: int) -> Tensor:
    """[tiles, QUERIES, heads, head_dim] -> [kv_heads, tiles, QUERIES * group, head_dim]: heads become rows."""
    count, _, heads, head_dim = tiles.shape
    grouped = tiles.view(count, QUERIES, kv_heads, heads // kv_heads, head_dim)
    return grouped.permute(2, 0, 1, 3, 4).reshape(kv_heads, count, -1, head_dim)


def _unfold(folded: Tensor) -> Tensor:
    """What `_fold` did, undone."""
    kv_heads, count, _, head_dim = folded.shape
    grouped = folded.view(kv_heads, count, QUERIES, -1, head_dim)
    return grouped.permute(1, 2, 0, 3, 4).reshape(count, QUERIES, -1, head_dim)


def _attend_short(queries: Tensor, cache: TensorKVCache, layer: int, spans: _ShortSpans) -> Tensor:
    """[tokens, heads, head_dim] of the step -> [tiles, QUERIES, heads, head_dim]"""
    keys, values = cache.read(layer, spans.blocks)
    kv_heads, _, head_dim = keys.shape
    folded = _fold(queries[spans.rows], kv_heads)
    rows = folded.shape[2]
    scores = torch.bmm(folded[:, spans.owners].flatten(0, 1), keys.view(-1, KEYS, head_dim).transpose(1, 2)).float()
    scores = scores.view(kv_heads, -1, rows, KEYS).masked_fill_(spans.hidden, -torch.inf)
    peaks = _of_tiles(scores.amax(-1), spans.pairs, -torch.inf).amax(0)
    weights = scores.sub_(peaks[:, spans.owners].unsqueeze(-1)).exp_()
    mixed = torch.bmm(weights.to(values.dtype).view(-1, rows, KEYS), values.view(-1, KEYS, head_dim)).float()
    numerator = _tree_sum(_of_tiles(mixed.view(kv_heads, -1, rows, head_dim), spans.pairs, 0))
    denominator = _tree_sum(_of_tiles(weights.sum(-1), spans.pairs, 0))
    return _unfold((numerator / denominator.unsqueeze(-1)).to(queries.dtype))


def _of_tiles(x: Tensor, pairs: Tensor, missing: float) -> Tensor:
    """What belongs to each pair, [kv_heads, pairs, ...], by the tiles' groups: [most groups, kv_heads, tiles, ...]."""
    blank = x.new_full((len(x), 1, *x.shape[2:]), missing)
    return torch.cat((x, blank), dim=1)[:, pairs].movedim(2, 0)


def _tree_sum(parts: Tensor) -> Tensor:
    """The sum over the first dimension, neighbours first. Zeros at its end do not change a bit of it."""
    while len(parts) > 1:
        if len(parts) % 2:
            parts = torch.cat((parts, torch.zeros_like(parts[:1])))
        parts = parts[0::2] + parts[1::2]
    return parts[0]


def _attend_long(queries: Tensor, cache: TensorKVCache, layer: int, span: _LongSpan) -> Tensor:
    """[tokens of the span, heads, head_dim] -> the same."""
    keys, values = cache.read(layer, span.blocks)
    kv_heads, seen, head_dim = keys.shape
    padded = functional.pad(queries, (0, 0, 0, 0, 0, -span.count % QUERIES))
    folded = _fold(padded.view(-1, QUERIES, *queries.shape[1:]), kv_heads)
    at_once = max(1, _SCORES_AT_ONCE // (seen * kv_heads * folded.shape[2]))
    groups = keys.view(kv_heads, -1, KEYS, head_dim), values.view(kv_heads, -1, KEYS, head_dim)
    attended = [
        _attend_tiles(part, hidden, *groups)
        for part, hidden in zip(
            torch.split(folded, at_once, dim=1), torch.split(span.hidden, at_once, dim=2), strict=True
        )
    ]
    return _unfold(torch.cat(attended, dim=1)).flatten(0, 1)[: span.count]


def _attend_tiles(queries: Tensor, hidden: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """`queries`: [kv_heads, tiles, rows, head_dim]; `keys`, `values`: [kv_heads, groups, KEYS, head_dim]."""
    kv_heads, tiles, rows, head_dim = queries.shape
    groups = keys.shape[1]
    products = [(ordinal, head) for ordinal in range(groups) for head in range(kv_heads)]
    scores = queries.new_empty(groups, kv_heads, tiles, rows, KEYS)
    for ordinal, head in products:
        torch.bmm(queries[head], keys[head, ordinal].t().expand(tiles, -1, -1), out=scores[ordinal, head])
    scores = scores.float().masked_fill_(hidden, -torch.inf)
    weights = scores.sub_(scores.amax(-1, keepdim=True).amax(0)).exp_()
    denominator = _tree_sum(weights.sum(-1))
    weights = weights.to(values.dtype)
    mixed = queries.new_empty(groups, kv_heads, tiles, rows, head_dim)
    for ordinal, head in products:
        torch.bmm(weights[ordinal, head], values[head, ordinal].expand(tiles, -1, -1), out=mixed[ordinal, head])
    return (_tree_sum(mixed.float()) / denominator.unsqueeze(-1)).to(queries.dtype)
