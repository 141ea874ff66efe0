"""What the eager layers need to know about a step, as tensors on the device where they compute.

All of it is laid out in numbers of the host first and goes over in one copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.layers.attention import AttentionPlan, index_spans, plan
from engine.step import BLOCK, Span, StepInput

Indices = NDArray[np.int64]


@dataclass(slots=True, frozen=True, eq=False)
class StepLayout:
    """One step; its rows are the tokens of all spans, one span after the other. All int64."""

    token_ids: Tensor  # [tokens]
    positions: Tensor  # [tokens], each in its own sequence
    slots: Tensor  # [tokens], where the keys and values of each go
    stale: Tensor  # [any number], slots that can be read before they are written
    wanted: Tensor  # [rows], the tokens whose logits are wanted
    attention: AttentionPlan


def lay_out(step: StepInput, group: int, device: torch.device) -> StepLayout:
    """`group` is the number of query heads that share a key head."""
    positions = np.concatenate([np.arange(span.start, span.start + span.count) for span in step.spans])
    host = [
        np.array(step.token_ids),
        positions,
        np.concatenate([_slots(span, span.start, span.start + span.count) for span in step.spans]),
        np.concatenate([_stale(span) for span in step.spans]),
        np.array(step.wanted, dtype=np.int64),
        *index_spans(step.spans),
    ]
    token_ids, sent_positions, slots, stale, wanted, *indices = send(host, device)
    attention = plan(step.spans, indices, sent_positions, group)
    return StepLayout(token_ids, sent_positions, slots, stale, wanted, attention)


def send(arrays: Sequence[Indices], device: torch.device) -> list[Tensor]:
    """The same numbers on `device`, all in one copy, which the processor need not wait for."""
    if device.type == "cpu":
        return [torch.from_numpy(array) for array in arrays]
    packed = torch.from_numpy(np.concatenate([array.reshape(-1) for array in arrays]))
    if device.type == "cuda":
        packed = packed.pin_memory()
    ends = list(accumulate(array.size for array in arrays))
    parts = torch.tensor_split(packed.to(device, non_blocking=True), ends[:-1])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


def _slots(span: Span, start: int, stop: int) -> Indices:
    positions = np.arange(start, stop)
    return np.asarray(span.blocks, dtype=np.int64)[positions // BLOCK] * BLOCK + positions % BLOCK


def _stale(span: Span) -> Indices:
    """What lies between the end of a span and the end of its last block, if this step is the first to write there."""
    end = span.start + span.count
    block_start = (end - 1) // BLOCK * BLOCK
    return _slots(span, end, block_start + BLOCK if span.start <= block_start else end)
