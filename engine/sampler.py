"""Picks the next token of a sequence from its logits.

The random number for a token depends on the sequence's seed and the token's position alone: the same seed gives the
same text alone, in any batch, and after a restart.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import EngineError
from engine.sampling_params import SamplingParams
from engine.sequence import Sequence

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

_NUCLEUS_GUESS = 1024  # tokens that nearly always hold the mass `top_p` asks for
_MASK = (1 << 64) - 1


def sample(logits: Tensor, sequences: list[Sequence]) -> list[int]:
    """One token for each sequence. `logits`: float32 [sequences, vocabulary].

    Raises EngineError for logits that are not numbers.
    """
    if not sequences:
        return []
    best = logits.argmax(dim=1).tolist()
    if not torch.isfinite(logits.amax(dim=1)).all():
        raise EngineError("The model computed values that are not numbers.")
    return [
        token if sequence.params.temperature == 0 else _draw(row, sequence.params, _uniform(sequence))
        for token, row, sequence in zip(best, logits, sequences, strict=True)
    ]


def _uniform(sequence: Sequence) -> float:
    return uniform(sequence.seed, len(sequence.tokens))


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on nothing else: two rounds of SplitMix64 (Steele et al. 2014) over both."""
    return (_mix(_mix(seed & _MASK) ^ position) >> 11) * 2.0**-53


def _mix(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def _draw(row: Tensor, params: SamplingParams, u: float) -> int:
    """Temperature, then top-k, top-p and min-p, each on what the one before left; then inverse sampling."""
    ids, weights = _candidates(row, params)
    keep = weights >= params.min_p * weights[0]
    ids, reached = ids[keep], np.cumsum(weights[keep])
    return int(ids[min(np.searchsorted(reached, u * reached[-1], side="right"), len(ids) - 1)])


def _candidates(row: Tensor, params: SamplingParams) -> tuple[Ids, Floats]:
    """The tokens that top-k and top-p leave, most likely first, with weights in proportion to their probabilities."""
    vocabulary = len(row)
    if 0 < params.top_k < vocabulary:
        ids, weights = _top(row, params.top_k, params.temperature)
        return _nucleus(ids, weights, params.top_p * weights.sum())
    if params.top_p >= 1:
        return _top(row, vocabulary, params.temperature)
    mass = params.top_p * float(_weights(row, row.amax(), params.temperature).sum())
    ids, weights = _top(row, min(_NUCLEUS_GUESS, vocabulary), params.temperature)
    if weights.sum() < mass:
        ids, weights = _top(row, vocabulary, params.temperature)
    return _nucleus(ids, weights, mass)


def _top(row: Tensor, count: int, temperature: float) -> tuple[Ids, Floats]:
    """The `count` likeliest tokens in order; of equals the lower id first."""
    values, indices = row.topk(count, sorted=False)
    ids = indices.cpu().numpy()
    order = np.lexsort((ids, -values.cpu().numpy()))
    weights = _weights(values, values.amax(), temperature)
    return ids[order], weights[order]


def _weights(logits: Tensor, peak: Tensor, temperature: float) -> Floats:
    """Probabilities, up to a common factor."""
    result: Floats = np.exp((logits.cpu().numpy().astype(np.float64) - float(peak)) / temperature)
    return result


def _nucleus(ids: Ids, weights: Floats, mass: float) -> tuple[Ids, Floats]:
    """The fewest of the likeliest that together reach `mass`; always at least one."""
    count = int(np.searchsorted(np.cumsum(weights), mass)) + 1
    return ids[:count], weights[:count]
