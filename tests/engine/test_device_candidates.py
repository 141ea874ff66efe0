"""What is picked from on a GPU is what is picked from in the processor's memory. Run where there is none, too."""

from __future__ import annotations

import pytest
import torch

from engine import device_candidates
from engine.errors import EngineError
from engine.sampler import Pick, sample, sample_on_device
from engine.sampling_params import SamplingParams

PARAMS = [
    SamplingParams(temperature=0),
    SamplingParams(),
    SamplingParams(temperature=0.7, top_k=40, top_p=0.9),
    SamplingParams(temperature=0.7, top_p=0.95),
    SamplingParams(temperature=3.0, top_p=0.5),
    SamplingParams(min_p=0.05),
    SamplingParams(min_p=1.0),
    SamplingParams(top_k=3, min_p=0.2),
    SamplingParams(top_k=600, top_p=0.9),
    SamplingParams(temperature=1e-30),
    SamplingParams(temperature=1e30, top_p=0.3),
]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def rows(vocabulary: int, seed: int) -> torch.Tensor:
    """Sharp and flat rows, some of them with many equal logits and some with tokens that are ruled out."""
    logits = torch.randn(len(PARAMS), vocabulary, generator=torch.Generator().manual_seed(seed)) * (seed + 0.5)
    if seed == 1:
        logits = logits.round()  # to zeros of both signs, too
    if seed == 2:
        logits[:, 1::2] = -torch.inf
    if seed == 3:  # as where an answer has a form: two tokens are left, or one
        logits[:, 1:-1] = -torch.inf
    return logits


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("vocabulary", [1, 5, 64, 300, 1000, 49_152, 50_257])
def test_every_token_is_the_one_that_is_picked_on_the_processor(device: str, vocabulary: int) -> None:
    for seed in range(4):
        logits = rows(vocabulary, seed)
        picks = [Pick(params, seed, position) for position, params in enumerate(PARAMS)]
        assert sample_on_device(logits.to(device), picks) == sample(logits, picks)
        for row, pick in enumerate(picks):
            assert sample_on_device(logits[row : row + 1].to(device), [pick]) == sample(logits[row : row + 1], [pick])


def test_usual_rows_are_never_copied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise AssertionError("a row was copied whole")

    monkeypatch.setattr(device_candidates._FetchedRow, "_whole", refuse)
    logits = torch.randn(len(PARAMS[:6]), 49_152, generator=torch.Generator().manual_seed(5)) * 4
    logits[:, :100] += 20
    sample_on_device(logits, [Pick(params, 5, position) for position, params in enumerate(PARAMS[:6])])


@pytest.mark.parametrize("bad", [torch.nan, -torch.nan, torch.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    for params in PARAMS[:4]:
        with pytest.raises(EngineError, match="not numbers"):
            sample_on_device(torch.tensor([[0.0, bad, 1.0]]), [Pick(params, 0, 1)])
