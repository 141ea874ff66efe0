"""Makes tokens that a text has already less likely, as OpenAI's and Ollama's parameters say.

Works on single rows of logits, wherever they lie. Knows nothing of sequences: it is shown a list of tokens that grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf

import torch
from torch import Tensor

from engine.sampling_params import SamplingParams

WINDOW = 64  # so many of the last tokens have `repeat_penalty`: what Ollama does unless told otherwise


class Penalties:
    """The penalties of one answer. The first `prompt_tokens` of `tokens`, which grow elsewhere, are its prompt."""

    def __init__(self, params: SamplingParams, tokens: SequenceOf[int], prompt_tokens: int) -> None:
        self._presence, self._frequency = params.presence_penalty, params.frequency_penalty
        self._repeat = params.repeat_penalty
        self._tokens = tokens
        self._known = prompt_tokens
        self._counts: Counter[int] = Counter()

    @staticmethod
    def any(params: SamplingParams) -> bool:
        """Whether there is anything to do."""
        return (params.presence_penalty, params.frequency_penalty, params.repeat_penalty) != (0, 0, 1)

    def apply(self, rows: Tensor, drafts: SequenceOf[int]) -> None:
        """Change the logits of the next token and of those after each draft: [1 + drafts, vocabulary]."""
        self._counts.update(self._tokens[self._known :])
        self._known = len(self._tokens)
        counts = self._counts.copy() if drafts else self._counts
        recent = [*self._tokens[-WINDOW:], *drafts]
        end = len(recent) - len(drafts)
        for ahead, row in enumerate(rows):
            if ahead:
                counts[drafts[ahead - 1]] += 1
            if self._repeat != 1:
                self._repeated(row, recent[max(0, end + ahead - WINDOW) : end + ahead])
            if counts and (self._presence or self._frequency):
                self._counted(row, counts)

    def _repeated(self, row: Tensor, recent: Iterable[int]) -> None:
        ids = torch.tensor(sorted(set(recent)), device=row.device)
        values = row[ids]
        row[ids] = torch.where(values > 0, values / self._repeat, values * self._repeat)

    def _counted(self, row: Tensor, counts: Counter[int]) -> None:
        ids = torch.tensor(list(counts), device=row.device)
        times = torch.tensor(list(counts.values()), dtype=torch.float32, device=row.device)
        row[ids] -= self._presence + self._frequency * times
