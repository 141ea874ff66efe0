"""Causal attention over cached keys and values, whose result for a token does not depend on the other tokens.

Every matrix product is of one shape: a tile of `TILE` consecutive queries of a sequence (all query heads that share
a key head, as rows) against one block of `BLOCK` keys. Scores past a query's own position are masked, the maximum is
exact, and the blocks' sums are added one after the other: a block that is masked as a whole adds an exact 0. So a
token gets the same bits whether it is decoded alone or in a batch, or prefilled in chunks of any size.

`AttentionPlan` says once a step which tile meets which block; `attend` then runs in every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.kv_cache import BLOCK, blocks_for

TILE = 2  # queries
_SCORES_AT_ONCE = 8 << 20  # elements: bounds the memory of a long chunk over a long context


@dataclass(slots=True, frozen=True)
class Span:
    """Consecutive tokens of one sequence in a step: `count` of them, the first at position `start`."""

    start: int
    count: int
    blocks: Sequence[int]  # the sequence's blocks, in order


@dataclass(slots=True, frozen=True, eq=False)
class _Tiles:
    """Tiles of queries: the row of the step that each takes, its position, and where each row's result is found."""

    rows: Tensor  # [tiles, TILE], the last row repeated as padding
    positions: Tensor  # [tiles, TILE]
    places: Tensor  # [tokens of these tiles], into [tiles * TILE]
    tokens: Tensor  # [tokens of these tiles], rows of the step


@dataclass(slots=True, frozen=True, eq=False)
class _ShortSpans:
    """Spans of one tile each, all computed together: a pair is a tile and one of its sequence's blocks."""

    tiles: _Tiles
    blocks: Tensor | slice  # [pairs]; a slice when they lie side by side
    owners: Tensor  # [pairs], the tile of each
    hidden: Tensor  # bool [pairs, 1, TILE * group, BLOCK], the scores that are masked
    pairs: Tensor  # [tiles, most blocks], the pair of each of a tile's blocks; past the end: `len(owners)`


@dataclass(slots=True, frozen=True, eq=False)
class _LongSpan:
    """A span of several tiles, which share their sequence's blocks."""

    tiles: _Tiles
    blocks: Sequence[int]
    hidden: Tensor  # bool [blocks, 1, tiles, TILE * group, BLOCK], the scores that are masked


@dataclass(slots=True, frozen=True, eq=False)
class AttentionPlan:
    """A step's attention: who sees what."""

    short: _ShortSpans | None
    long: Sequence[_LongSpan]


def plan(spans: Sequence[Span], group: int, device: torch.device) -> AttentionPlan:
    """Lay out the attention of a step whose rows are the tokens of `spans`, one after the other.

    `group` is the number of query heads that share a key head.
    """
    first_rows = [0]
    for span in spans:
        first_rows.append(first_rows[-1] + span.count)
    placed = list(zip(spans, first_rows[:-1], strict=True))
    short = [(span, row) for span, row in placed if span.count <= TILE]
    long = [(span, row) for span, row in placed if span.count > TILE]
    return AttentionPlan(
        _plan_short(short, group, device) if short else None,
        [_plan_long(span, row, group, device) for span, row in long],
    )


def attend(queries: Tensor, keys: Tensor, values: Tensor, plan: AttentionPlan) -> Tensor:
    """`queries`: [tokens, heads, head_dim]; `keys`, `values`: [blocks, kv_heads, BLOCK, head_dim], one layer's pool.

    Returns [tokens, heads, head_dim].
    """
    kv_heads, head_dim = keys.shape[1], keys.shape[3]
    scaled = queries * head_dim**-0.5
    result = torch.empty_like(queries)
    if plan.short is not None:
        tiles = plan.short.tiles
        attended = _attend_short(_fold(scaled, tiles, kv_heads), keys, values, plan.short)
        result[tiles.tokens] = _unfold(attended, tiles)
    for span in plan.long:
        attended = _attend_long(_fold(scaled, span.tiles, kv_heads), keys, values, span)
        result[span.tiles.tokens] = _unfold(attended, span.tiles)
    return result


def _seen_blocks(span: Span) -> Sequence[int]:
    return span.blocks[: blocks_for(span.start + span.count)]


def _tiles(placed: Sequence[tuple[Span, int]], device: torch.device) -> _Tiles:
    rows: list[list[int]] = []
    positions: list[list[int]] = []
    places: list[int] = []
    tokens: list[int] = []
    for span, first_row in placed:
        for start in range(0, span.count, TILE):
            taken = [min(start + offset, span.count - 1) for offset in range(TILE)]
            real = min(TILE, span.count - start)
            places.extend(len(rows) * TILE + offset for offset in range(real))
            tokens.extend(first_row + start + offset for offset in range(real))
            rows.append([first_row + index for index in taken])
            positions.append([span.start + index for index in taken])
    return _Tiles(*(torch.tensor(values, device=device) for values in (rows, positions, places, tokens)))


def _plan_long(span: Span, first_row: int, group: int, device: torch.device) -> _LongSpan:
    tiles, blocks = _tiles([(span, first_row)], device), _seen_blocks(span)
    ordinals = torch.arange(len(blocks), device=device)
    return _LongSpan(tiles, blocks, _hidden(tiles.positions.expand(len(blocks), -1, -1), ordinals, group).unsqueeze(1))


def _plan_short(placed: Sequence[tuple[Span, int]], group: int, device: torch.device) -> _ShortSpans:
    seen = [_seen_blocks(span) for span, _ in placed]
    entries = sorted(
        (block, owner, ordinal) for owner, blocks in enumerate(seen) for ordinal, block in enumerate(blocks)
    )
    pairs = [[len(entries)] * max(map(len, seen)) for _ in seen]
    for pair, (_, owner, ordinal) in enumerate(entries):
        pairs[owner][ordinal] = pair
    blocks = [block for block, _, _ in entries]
    together = blocks == list(range(blocks[0], blocks[0] + len(blocks)))
    tiles = _tiles(placed, device)
    owners = torch.tensor([owner for _, owner, _ in entries], device=device)
    ordinals = torch.tensor([ordinal for _, _, ordinal in entries], device=device)
    return _ShortSpans(
        tiles,
        slice(blocks[0], blocks[-1] + 1) if together else torch.tensor(blocks, device=device),
        owners,
        _hidden(tiles.positions[owners].unsqueeze(1), ordinals, group),
        torch.tensor(pairs, device=device),
    )


def _hidden(positions: Tensor, ordinals: Tensor, group: int) -> Tensor:
    """Which keys lie past which queries: `positions` [n, tiles, TILE] against the keys of the blocks `ordinals` [n].

    Returns bool [n, tiles, TILE * group, BLOCK].
    """
    keys = ordinals[:, None] * BLOCK + torch.arange(BLOCK, device=ordinals.device)
    return (keys[:, None, None, :] > positions[..., None]).repeat_interleave(group, dim=2)


def _fold(queries: Tensor, tiles: _Tiles, kv_heads: int) -> Tensor:
    """[tokens, heads, head_dim] -> [tiles, kv_heads, TILE * group, head_dim]: the heads of a group become rows."""
    gathered = queries[tiles.rows].view(len(tiles.rows), TILE, kv_heads, -1, queries.shape[2])
    return gathered.transpose(1, 2).flatten(2, 3)


def _unfold(attended: Tensor, tiles: _Tiles) -> Tensor:
    """[tiles, kv_heads, TILE * group, head_dim] -> [tokens of these tiles, heads, head_dim]."""
    count, kv_heads, _, head_dim = attended.shape
    rows = attended.reshape(count, kv_heads, TILE, -1, head_dim).transpose(1, 2)
    return rows.reshape(count * TILE, -1, head_dim)[tiles.places]


def _attend_short(queries: Tensor, keys: Tensor, values: Tensor, spans: _ShortSpans) -> Tensor:
    """`queries`: [tiles, kv_heads, rows, head_dim] -> the same."""
    rows, head_dim = queries.shape[2:]
    paired = queries[spans.owners].flatten(0, 1)  # [pairs * kv_heads, rows, head_dim]
    scores = torch.bmm(paired, keys[spans.blocks].flatten(0, 1).transpose(1, 2))
    scores = scores.view(len(spans.owners), -1, rows, BLOCK)
    scores.masked_fill_(spans.hidden, -torch.inf)
    peaks = _with_blank(scores.amax(-1), -torch.inf)[spans.pairs].amax(1)  # [tiles, kv_heads, rows]
    weights = scores.sub_(peaks[spans.owners].unsqueeze(-1)).exp_()
    sums = _with_blank(weights.sum(-1), 0)
    mixed = torch.bmm(weights.view(-1, rows, BLOCK), values[spans.blocks].flatten(0, 1))
    mixed = _with_blank(mixed.view(len(spans.owners), -1, rows, head_dim), 0)
    numerator, denominator = torch.zeros_like(queries), torch.zeros_like(peaks)
    for pair in spans.pairs.unbind(1):
        numerator.add_(mixed[pair])
        denominator.add_(sums[pair])
    return numerator / denominator.unsqueeze(-1)


def _with_blank(x: Tensor, value: float) -> Tensor:
    """`x` with one more entry at its end, all `value`: what a missing pair stands for."""
    return torch.cat((x, x.new_full((1, *x.shape[1:]), value)))


def _attend_long(queries: Tensor, keys: Tensor, values: Tensor, span: _LongSpan) -> Tensor:
    """`queries`: [tiles, kv_heads, rows, head_dim] -> the same."""
    _, kv_heads, rows, _ = queries.shape
    at_once = max(1, _SCORES_AT_ONCE // (len(span.blocks) * kv_heads * rows * BLOCK))
    parts = zip(torch.split(queries, at_once), torch.split(span.hidden, at_once, dim=2), strict=True)
    attended = [_attend_tiles(part, hidden, keys, values, span.blocks) for part, hidden in parts]
    return torch.cat(attended)


def _attend_tiles(queries: Tensor, hidden: Tensor, keys: Tensor, values: Tensor, blocks: Sequence[int]) -> Tensor:
    tiles, kv_heads, rows, head_dim = queries.shape
    heads = queries.transpose(0, 1).contiguous()  # [kv_heads, tiles, rows, head_dim]
    scores = queries.new_empty(len(blocks), kv_heads, tiles, rows, BLOCK)
    for ordinal, block in enumerate(blocks):
        for head in range(kv_heads):
            shared = keys[block, head].t().expand(tiles, head_dim, BLOCK)
            torch.bmm(heads[head], shared, out=scores[ordinal, head])
    scores.masked_fill_(hidden, -torch.inf)
    weights = scores.sub_(scores.amax(-1, keepdim=True).amax(0)).exp_()
    sums = weights.sum(-1)  # [blocks, kv_heads, tiles, rows]
    mixed = torch.empty_like(heads)
    numerator, denominator = torch.zeros_like(heads), torch.zeros_like(sums[0])
    for ordinal, block in enumerate(blocks):
        for head in range(kv_heads):
            torch.bmm(weights[ordinal, head], values[block, head].expand(tiles, BLOCK, head_dim), out=mixed[head])
        numerator.add_(mixed)
        denominator.add_(sums[ordinal])
    return (numerator / denominator.unsqueeze(-1)).transpose(0, 1)
