"""What is done with the rows of a step's logits, and with which numbers: for each chunk those of its sequence.

Between the model and the sampler, which both know nothing of sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf

import torch
from torch import Tensor

from engine.errors import GrammarError
from engine.sampler import Pick
from engine.scheduler import Chunk
from engine.sequence import Sequence


def picks_of(chunks: SequenceOf[Chunk]) -> list[Pick]:
    """What is sampled from each row."""
    return [
        Pick(sequence.params, sequence.seed, len(sequence.tokens) + ahead)
        for chunk in chunks
        for sequence in (chunk.sequence,)
        for ahead in range(chunk.wanted)
    ]


@torch.inference_mode()
def shape(logits: Tensor, chunks: SequenceOf[Chunk]) -> dict[Sequence, Tensor]:
    """Change the rows, float32 [rows, vocabulary], of those who ask for it.

    Returns the rows as they were of those who are to be told log probabilities. A sequence whose guide finds no way on
    gets an `error`.
    """
    raw: dict[Sequence, Tensor] = {}
    for chunk, rows in _with_rows(logits, chunks):
        sequence = chunk.sequence
        if sequence.params.logprobs is not None:
            raw[sequence] = rows.clone()
        if sequence.shaper is not None:
            try:
                sequence.shaper.shape(rows, chunk.drafts)
            except GrammarError as error:
                sequence.error = error
    return raw


def _with_rows(logits: Tensor, chunks: SequenceOf[Chunk]) -> Iterator[tuple[Chunk, Tensor]]:
    """Those chunks that are sampled from and have wishes, each with its rows."""
    first = 0
    for chunk in chunks:
        sequence, wanted = chunk.sequence, chunk.wanted
        if wanted and (sequence.shaper is not None or sequence.params.logprobs is not None):
            yield chunk, logits[first : first + wanted]
        first += wanted
