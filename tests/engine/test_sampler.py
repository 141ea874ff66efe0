"""Tokens are drawn from the distribution that was asked for, and the same seed draws the same ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.candidates import HostRow
from engine.errors import EngineError
from engine.sampler import Pick, sample, uniform
from engine.sampling_params import SamplingParams
from tests.engine.distributions import assert_distributed, distribution

DRAWS = 20_000


def pick(logits: Tensor, params: SamplingParams, *, seed: int = 0, position: int = 1) -> int:
    return sample(logits[None], [Pick(params, seed, position)])[0]


def drawn(logits: Tensor, params: SamplingParams) -> Counter[int]:
    """What comes with `DRAWS` seeds."""
    return Counter(sample(logits.expand(DRAWS, -1), [Pick(params, seed, 7) for seed in range(DRAWS)]))


LOGITS = torch.tensor([0.0, 2.0, 1.0, -1.0, 1.5, 0.5, -0.5, 0.25, -2.0, 1.25])
WIDE = torch.randn(3001, generator=torch.Generator().manual_seed(2)) * 3
PARAMS = [
    SamplingParams(),
    SamplingParams(temperature=0.5),
    SamplingParams(temperature=2.0),
    SamplingParams(top_k=4),
    SamplingParams(top_p=0.6),
    SamplingParams(top_p=0.6, top_k=10),
    SamplingParams(top_p=0.6, top_k=1_000_000),
    SamplingParams(min_p=0.3),
    SamplingParams(temperature=0.7, top_k=40, top_p=0.9),
    SamplingParams(temperature=0.7, top_p=0.95),
    SamplingParams(temperature=0.8, min_p=0.05),
    SamplingParams(temperature=1.5, top_k=8, top_p=0.95, min_p=0.1),
]


@pytest.mark.parametrize("params", PARAMS, ids=lambda params: f"T{params.temperature}-k{params.top_k}-p{params.top_p}")
def test_tokens_are_drawn_as_the_parameters_say(params: SamplingParams) -> None:
    assert_distributed(drawn(LOGITS, params), distribution(LOGITS, params))


@pytest.mark.parametrize("params", [PARAMS[0], PARAMS[8], PARAMS[9], PARAMS[10]], ids=["plain", "top", "p", "min"])
def test_tokens_of_a_large_vocabulary_are_drawn_as_the_parameters_say(params: SamplingParams) -> None:
    assert_distributed(drawn(WIDE, params), distribution(WIDE, params))


@pytest.mark.parametrize("vocabulary", [1, 2, 63, 64, 65, 640, 1000, 49_152, 50_257])
@pytest.mark.parametrize("count", [1, 2, 5, 40, 256, 4096])
def test_the_likeliest_are_found_as_by_sorting(vocabulary: int, count: int) -> None:
    """Many tie: there are only 60 values."""
    row = torch.randint(60, (vocabulary,), generator=torch.Generator().manual_seed(count)).float().numpy()
    expected = np.argsort(-row, kind="stable")[:count]
    ids, values = HostRow(row).likeliest(min(count, vocabulary))
    assert ids.tolist() == expected.tolist()
    assert values.tolist() == row[expected].tolist()


def test_a_wide_nucleus_is_found_beyond_the_first_guess() -> None:
    """5,000 equal tokens: a mass of 0.9 takes 4,500 of them, the ones with the lowest ids."""
    flat = torch.zeros(5000)
    tokens = [pick(flat, SamplingParams(top_p=0.9), position=position) for position in range(1, 400)]
    assert max(tokens) < 4501
    assert max(tokens) > 4000
    assert min(tokens) < 500


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0),
        SamplingParams(top_p=1e-9),
        SamplingParams(top_k=1),
        SamplingParams(min_p=1),
        SamplingParams(temperature=1e-4),
        SamplingParams(top_p=1e-9, top_k=5),
    ],
)
def test_a_choice_of_one_is_the_likeliest(params: SamplingParams) -> None:
    assert {pick(LOGITS, params, position=position) for position in range(1, 50)} == {1}


def test_of_equals_the_lowest_id_counts_as_the_likeliest() -> None:
    ties = torch.tensor([0.0, 3.0, 3.0, 3.0])
    assert pick(ties, SamplingParams(temperature=0)) == 1
    assert {pick(ties, SamplingParams(top_p=0.1), position=position) for position in range(1, 50)} == {1}


def test_min_p_of_one_keeps_all_that_tie() -> None:
    ties = torch.tensor([0.0, 3.0, 3.0, 3.0])
    assert {pick(ties, SamplingParams(min_p=1), position=position) for position in range(1, 50)} == {1, 2, 3}


def test_tokens_that_are_ruled_out_are_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0])
    assert {pick(logits, SamplingParams(), position=position) for position in range(1, 200)} == {1, 3}


@pytest.mark.parametrize("params", PARAMS)
def test_the_same_seed_and_position_draw_the_same_token_in_any_company(params: SamplingParams) -> None:
    logits = torch.randn(6, 50_257, generator=torch.Generator().manual_seed(1))  # rows begin at odd addresses
    picks = [Pick(params, seed, 5 + seed) for seed in range(6)]
    together = sample(logits, picks)
    assert together == [sample(logits[row].clone()[None], [picks[row]])[0] for row in range(6)]
    assert together == sample(logits.flip(0), picks[::-1])[::-1]


def test_another_seed_or_position_draws_anew() -> None:
    numbers = [uniform(seed, position) for seed in range(50) for position in range(50)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.02


def test_random_numbers_of_neighbouring_seeds_are_not_alike() -> None:
    """A tenth of all numbers in each tenth, for one seed over positions and for one position over seeds."""
    for numbers in ([uniform(3, n) for n in range(DRAWS)], [uniform(n, 3) for n in range(DRAWS)]):
        assert_distributed(Counter(int(number * 10) for number in numbers), dict.fromkeys(range(10), 0.1))


@pytest.mark.parametrize("seed", [-1, 0, 2**63, 2**64 + 5])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert 0 <= uniform(seed, 1) < 1


def test_greedy_and_sampled_sequences_share_a_batch() -> None:
    greedy, sampled = Pick(SamplingParams(temperature=0), 0, 1), Pick(SamplingParams(top_k=3), 1, 1)
    assert sample(LOGITS.expand(2, -1), [greedy, sampled]) == [1, pick(LOGITS, sampled.params, seed=1)]


def test_nothing_to_sample_gives_nothing() -> None:
    assert sample(torch.empty(0, 10), []) == []


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=0)])
def test_logits_that_are_no_numbers_are_an_error(bad: float, params: SamplingParams) -> None:
    with pytest.raises(EngineError, match="not numbers"):
        pick(torch.tensor([0.0, bad, 1.0]), params)


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e30])
def test_temperatures_beyond_all_measure_are_no_error(temperature: float) -> None:
    for params in (SamplingParams(), SamplingParams(top_k=3), SamplingParams(top_p=0.5), SamplingParams(min_p=0.5)):
        token = pick(LOGITS, replace(params, temperature=temperature))
        assert token == 1 or temperature > 1
