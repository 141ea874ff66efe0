"""Turns the scheduler's chunks into one step of the model. Knows nothing of sampling or text."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.computation import Computation
from engine.scheduler import Chunk
from engine.step import Span, StepInput


class ModelRunner:
    """Runs a model on chunks of sequences, whose keys and values it keeps in the cache."""

    def __init__(self, computation: Computation) -> None:
        self._model = computation.model
        self._cache = computation.cache

    @torch.inference_mode()
    def run(self, chunks: list[Chunk]) -> Tensor:
        """Compute the chunks, after the copies that they ask for.

        Returns the logits that are sampled from, float32 [rows, vocabulary]: `wanted` rows for each chunk.
        """
        for chunk in chunks:
            if chunk.copy is not None:
                self._cache.copy(*chunk.copy)
        return self._model.forward(lay_out(chunks), self._cache)


def lay_out(chunks: list[Chunk]) -> StepInput:
    """The chunks as rows: the tokens of each, then its drafts."""
    step = StepInput([], [], [])
    for chunk in chunks:
        sequence, start = chunk.sequence, chunk.sequence.computed
        step.token_ids.extend(sequence.tokens[start : start + chunk.count])
        step.token_ids.extend(chunk.drafts)
        step.spans.append(Span(start, chunk.count + len(chunk.drafts), sequence.table.blocks))
        step.wanted.extend(range(len(step.token_ids) - chunk.wanted, len(step.token_ids)))
    return step
