"""Turns the scheduler's chunks into one step of the model. Knows nothing of sampling or text."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.kv_cache import KVCache
from engine.models.base import Model
from engine.scheduler import Chunk
from engine.step import Span, StepInput


class ModelRunner:
    """Runs a model on chunks of sequences, whose keys and values it keeps in `cache`."""

    def __init__(self, model: Model, cache: KVCache) -> None:
        self._model = model
        self._cache = cache

    @torch.inference_mode()
    def run(self, chunks: list[Chunk]) -> Tensor:
        """Compute the chunks. Returns the last logits of those that complete, float32 [such chunks, vocabulary]."""
        logits = self._model.forward(self._lay_out(chunks), self._cache)
        for chunk in chunks:
            chunk.sequence.computed += chunk.count
        return logits

    def _lay_out(self, chunks: list[Chunk]) -> StepInput:
        step = StepInput([], [], [])
        for chunk in chunks:
            sequence, start = chunk.sequence, chunk.sequence.computed
            step.token_ids.extend(sequence.tokens[start : start + chunk.count])
            step.spans.append(Span(start, chunk.count, sequence.blocks))
            if chunk.completes:
                step.wanted.append(len(step.token_ids) - 1)
        return step
