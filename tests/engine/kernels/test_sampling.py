"""The compiled sampler draws what the plain one draws, with the kernels of every instruction set."""

from __future__ import annotations

import pytest
import torch

from engine.errors import EngineError
from engine.kernels.interface import NativeLibrary
from engine.kernels.sampling import NativeSampler
from engine.sampler import Pick, sample
from engine.sampling_params import SamplingParams

PARAMS = [
    SamplingParams(temperature=0),
    SamplingParams(),
    SamplingParams(temperature=0.7, top_k=40, top_p=0.9),
    SamplingParams(temperature=0.7, top_p=0.95),
    SamplingParams(temperature=3.0, top_p=0.5),
    SamplingParams(top_p=0.99),
    SamplingParams(temperature=2.0, top_p=0.9999, min_p=0.01),
    SamplingParams(temperature=1e-30, top_p=0.9),
    SamplingParams(min_p=0.05),
    SamplingParams(min_p=1.0),
    SamplingParams(top_k=3, min_p=0.2),
    SamplingParams(top_k=600, top_p=0.9),
    SamplingParams(top_k=10**12),
    SamplingParams(temperature=1e-30),
    SamplingParams(temperature=1e30, top_p=0.3),
]
VOCABULARIES = [1, 5, 63, 64, 65, 300, 1000, 49_152, 50_257]


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_every_token_is_the_one_that_the_plain_sampler_draws(library: NativeLibrary, vocabulary: int) -> None:
    """Sharp and flat rows, some of them with many equal logits and some with tokens that are ruled out."""
    native = NativeSampler(library, vocabulary)
    for seed in range(4):
        logits = torch.randn(len(PARAMS), vocabulary, generator=torch.Generator().manual_seed(seed)) * (seed + 0.5)
        if seed == 1:
            logits = logits.round()
        if seed == 2:
            logits[:, 1::2] = -torch.inf
        if seed == 3:  # as where an answer has a form: two tokens are left, or one
            logits[:, 1:-1] = -torch.inf
        picks = [Pick(params, seed, position) for position, params in enumerate(PARAMS)]
        assert native(logits, picks) == sample(logits, picks)


def test_a_row_is_picked_from_by_itself(library: NativeLibrary) -> None:
    native = NativeSampler(library, 1000)
    logits = torch.randn(len(PARAMS), 1000, generator=torch.Generator().manual_seed(3))
    picks = [Pick(params, 5, position) for position, params in enumerate(PARAMS)]
    together = native(logits, picks)
    assert together == [native(logits[row : row + 1], [pick])[0] for row, pick in enumerate(picks)]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("place", [0, 17, 639, 640, 649])
def test_logits_that_are_no_numbers_are_an_error(library: NativeLibrary, bad: float, place: int) -> None:
    native = NativeSampler(library, 650)
    logits = torch.zeros(2, 650)
    logits[1, place] = bad
    for params in PARAMS[:3]:
        with pytest.raises(EngineError, match="not numbers"):
            native(logits, [Pick(params, 0, 1)] * 2)


def test_nothing_to_sample_gives_nothing(library: NativeLibrary) -> None:
    assert NativeSampler(library, 10)(torch.empty(0, 10), []) == []
