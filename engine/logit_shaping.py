"""Changes the logits of one answer before its tokens are picked: penalties first, then biases, and a mask at last.

Every row is changed by itself and depends on the tokens before it alone, guessed ones included: the same answer comes
out alone, in a batch, with guesses, and when it is resumed. Where nothing is asked for, there is no shaper at all.
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

import torch
from torch import Tensor

from engine.guide import Guide
from engine.penalties import Penalties
from engine.sampling_params import SamplingParams


class LogitShaper:
    """What is done to the logits of one answer. `tokens` are its prompt and what follows, and grow elsewhere."""

    def __init__(
        self, params: SamplingParams, tokens: SequenceOf[int], prompt_tokens: int, guide: Guide | None
    ) -> None:
        self.guide = guide
        self._penalties = Penalties(params, tokens, prompt_tokens) if Penalties.any(params) else None
        self._bias = dict(params.logit_bias)

    @classmethod
    def wanted(
        cls, params: SamplingParams, tokens: SequenceOf[int], prompt_tokens: int, guide: Guide | None
    ) -> LogitShaper | None:
        """A shaper where there is anything to do."""
        if guide is None and not params.logit_bias and not Penalties.any(params):
            return None
        return cls(params, tokens, prompt_tokens, guide)

    def shape(self, rows: Tensor, drafts: SequenceOf[int]) -> None:
        """Change the logits of the next token and of those after each draft: float32 [1 + drafts, vocabulary].

        Raises GrammarError if the guide finds no way on.
        """
        if self._penalties is not None:
            self._penalties.apply(rows, drafts)
        if self._bias:
            ids = torch.tensor(list(self._bias), device=rows.device)
            rows[:, ids] += torch.tensor(list(self._bias.values()), dtype=torch.float32, device=rows.device)
        if self.guide is not None:
            for row, barred in zip(rows, self.guide.masks(drafts, rows.shape[1]), strict=True):
                row.masked_fill_(torch.from_numpy(barred).to(row.device), -torch.inf)
