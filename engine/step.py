"""What one step of a model computes, told without tensors: each model lays out its own from it.

Knows nothing of requests, scheduling or devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BLOCK = 16  # positions a cache block


@dataclass(slots=True, frozen=True)
class Span:
    """Consecutive tokens of one sequence: `count` of them, the first at position `start`.

    `blocks` are the cache blocks of the sequence in order: position `p` lies in `blocks[p // BLOCK]`. There may be more
    of them than the span needs.
    """

    start: int
    count: int
    blocks: Sequence[int]


@dataclass(slots=True, frozen=True)
class StepInput:
    """The rows of one step: the tokens of `spans`, one span after the other.

    `wanted` are the rows whose logits are wanted, in ascending order.
    """

    token_ids: list[int]
    spans: list[Span]
    wanted: list[int]


def blocks_for(positions: int) -> int:
    """The blocks that hold so many positions."""
    return -(-positions // BLOCK)
