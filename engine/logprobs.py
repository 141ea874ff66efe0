"""How likely tokens were to the model itself: natural logarithms, before temperature, penalties and masks.

Of each row by itself, so that they are the same alone and in any batch. Knows nothing of sequences and texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

from torch import Tensor

from engine.candidates import HostRow, Row
from engine.device_candidates import Wish, fetch_rows


@dataclass(slots=True, frozen=True)
class TokenScore:
    """A token's log probability, and the likeliest tokens at its place with theirs, likeliest first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def score(logits: Tensor, token_ids: SequenceOf[int], top: int) -> tuple[TokenScore, ...]:
    """The scores of tokens that were picked from these rows, float32 [tokens, vocabulary], and `top` others each."""
    if not token_ids:
        return ()
    if logits.device.type == "cuda":
        return score_on_device(logits, token_ids, top)
    rows = [HostRow(row) for row in logits.numpy()]
    return _scores(rows, logits, token_ids, top)


def score_on_device(logits: Tensor, token_ids: SequenceOf[int], top: int) -> tuple[TokenScore, ...]:
    """As `score`, with the work that goes over whole rows done where `logits` lie."""
    rows = fetch_rows(logits, [Wish(max(1, top), 1.0, 0.0)] * len(token_ids))
    return _scores(rows, logits, token_ids, top)


def _scores(rows: SequenceOf[Row], logits: Tensor, token_ids: SequenceOf[int], top: int) -> tuple[TokenScore, ...]:
    picked = [float(row[token_id]) for row, token_id in zip(logits, token_ids, strict=True)]
    return tuple(_score(*each, top) for each in zip(rows, token_ids, picked, strict=True))


def _score(row: Row, token_id: int, logit: float, top: int) -> TokenScore:
    norm = row.peak + math.log(row.total(1.0))
    ids, values = row.likeliest(min(top, row.size)) if top else ((), ())
    likeliest = tuple((int(one), float(value) - norm) for one, value in zip(ids, values, strict=True))
    return TokenScore(token_id, logit - norm, likeliest)
