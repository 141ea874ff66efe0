"""Picks tokens from logits: the parameters' meaning, and the random numbers.

The random number for a token depends on the sequence's seed and the token's position alone: the same seed gives the
same text alone, in any batch, and after a restart. Each row is picked from by itself; knows nothing of sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from engine.candidates import Floats, HostRow, Ids, Row, Values, inverse
from engine.device_candidates import Wish, fetch_rows
from engine.errors import EngineError
from engine.sampling_params import SamplingParams

_MASK = (1 << 64) - 1
_MAX_SCALE = 1e20  # one over the lowest temperature: colder is the same, and no product overflows
_NUCLEUS_GUESSES = (48, 384, 4096)  # tokens that often, mostly, and nearly always hold what `top_p` asks for


@dataclass(slots=True, frozen=True)
class Pick:
    """How the token at `position` of a text is picked, counted from the first token of its prompt."""

    params: SamplingParams
    seed: int
    position: int


Sampler = Callable[[Tensor, SequenceOf[Pick]], list[int]]


def sample(logits: Tensor, picks: SequenceOf[Pick]) -> list[int]:
    """One token for each row of `logits`, float32 [picks, vocabulary].

    Raises EngineError for logits that are not numbers.
    """
    if not picks:
        return []
    if logits.device.type == "cuda":
        return sample_on_device(logits, picks)
    rows = map(HostRow, logits.cpu().numpy())
    return [_pick(row, pick) for row, pick in zip(rows, picks, strict=True)]


def sample_on_device(logits: Tensor, picks: SequenceOf[Pick]) -> list[int]:
    """As `sample`, with the work that goes over whole rows done where `logits` lie."""
    rows = fetch_rows(logits, [_wish(pick, logits.shape[1]) for pick in picks])
    return [_pick(row, pick) for row, pick in zip(rows, picks, strict=True)]


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on nothing else: two rounds of SplitMix64 (Steele et al. 2014) over both."""
    return (_mix(_mix(seed & _MASK) ^ position) >> 11) * 2.0**-53


def scale_of(params: SamplingParams) -> float:
    """What logits are multiplied by, at a temperature that is not 0."""
    return min(1 / params.temperature, _MAX_SCALE)


def not_numbers() -> EngineError:
    """What is raised for logits that cannot be picked from."""
    return EngineError("The model computed values that are not numbers.")


def _mix(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def _wish(pick: Pick, vocabulary: int) -> Wish:
    """What `_pick` will ask of a row."""
    params = pick.params
    if params.temperature == 0:
        return Wish(1, 0.0, 0.0)
    if 0 < params.top_k < vocabulary:
        return Wish(params.top_k, 0.0, 0.0)
    if params.top_p >= 1 and params.min_p > 0:
        return Wish(_NUCLEUS_GUESSES[1], 0.0, 0.0)
    count = _NUCLEUS_GUESSES[1] if params.top_p < 1 else 1
    return Wish(count, scale_of(params), uniform(pick.seed, pick.position))


def _pick(row: Row, pick: Pick) -> int:
    if not math.isfinite(row.peak):
        raise not_numbers()
    if pick.params.temperature == 0:
        return row.best
    return _draw(row, pick.params, uniform(pick.seed, pick.position))


def _draw(row: Row, params: SamplingParams, u: float) -> int:
    """Temperature, then top-k, top-p and min-p, each on what the one before left; then inverse sampling."""
    scale = scale_of(params)
    if 0 < params.top_k < row.size:
        ids, values = row.likeliest(params.top_k)
        weights = _weights(values, row.peak, scale)
        ids, weights = _nucleus(ids, weights, params.top_p * weights.sum())
    elif params.top_p < 1:
        ids, weights = _nucleus_of_all(row, scale, params.top_p)
    elif params.min_p > 0:  # a hair below where it cuts: what exactly it keeps is decided on the weights
        ids, values = row.reaching(row.peak + (math.log(params.min_p) - 1e-9) / scale)
        weights = _weights(values, row.peak, scale)
    else:
        return row.draw(scale, u)
    if params.min_p > 0:
        keep = weights >= params.min_p
        ids, weights = ids[keep], weights[keep]
    return int(ids[inverse(np.cumsum(weights), u)])


def _weights(values: Values, peak: float, scale: float) -> Floats:
    """Probabilities in proportion to the likeliest token's, which has 1."""
    weights: Floats = np.exp((values.astype(np.float64) - peak) * scale)
    return weights


def _nucleus_of_all(row: Row, scale: float, top_p: float) -> tuple[Ids, Floats]:
    mass = top_p * row.total(scale)
    for guess in (*_NUCLEUS_GUESSES, row.size):
        ids, values = row.likeliest(min(guess, row.size))
        weights = _weights(values, row.peak, scale)
        if weights.sum() >= mass:
            break
    return _nucleus(ids, weights, mass)


def _nucleus(ids: Ids, weights: Floats, mass: float) -> tuple[Ids, Floats]:
    """The fewest of the likeliest that together reach `mass`; always at least one."""
    count = int(np.searchsorted(np.cumsum(weights), mass)) + 1
    return ids[:count], weights[:count]
