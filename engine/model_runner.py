"""Turns the scheduler's chunks into one step of the model. Knows nothing of sampling or text."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.kv_cache import BLOCK, KVCache
from engine.layers.attention import Span, plan
from engine.models.llama import Llama, StepInput
from engine.scheduler import Chunk


class ModelRunner:
    """Runs a model on chunks of sequences, whose keys and values it keeps in `cache`."""

    def __init__(self, model: Llama, cache: KVCache, device: torch.device) -> None:
        self._model = model
        self._cache = cache
        self._device = device

    @torch.inference_mode()
    def run(self, chunks: list[Chunk]) -> Tensor:
        """Compute the chunks. Returns the last logits of those that complete, float32 [such chunks, vocabulary]."""
        logits = self._model.forward(self._lay_out(chunks), self._cache)
        for chunk in chunks:
            chunk.sequence.computed += chunk.count
        return logits

    def _lay_out(self, chunks: list[Chunk]) -> StepInput:
        token_ids: list[int] = []
        positions: list[int] = []
        blocks: list[int] = []
        wanted: list[int] = []
        spans: list[Span] = []
        for chunk in chunks:
            sequence, start = chunk.sequence, chunk.sequence.computed
            reached = range(start, start + chunk.count)
            token_ids.extend(sequence.tokens[start : reached.stop])
            positions.extend(reached)
            blocks.extend(sequence.blocks[position // BLOCK] for position in reached)
            spans.append(Span(start, chunk.count, sequence.blocks))
            if chunk.completes:
                wanted.append(len(token_ids) - 1)
        return StepInput(
            token_ids,
            self._tensor(positions),
            self._tensor(blocks),
            self._tensor([position % BLOCK for position in positions]),
            plan(spans, self._model.config.group, self._device),
            self._tensor(wanted),
        )

    def _tensor(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)
