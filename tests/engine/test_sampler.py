"""Tokens are drawn from the distribution that was asked for, and the same seed draws the same ones."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from engine.detokenizer import StopChecker, StreamDecoder
from engine.errors import EngineError
from engine.sampler import sample, uniform
from engine.sampling_params import SamplingParams
from engine.sequence import Sequence

DRAWS = 4000
# Of 100 distributions that are right, a chi-square beyond this would turn up in 0.1 %: by degrees of freedom.
CHI_SQUARE = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 7: 24.32, 9: 27.88}


def sequence(params: SamplingParams, *, length: int = 1, seed: int = 0) -> Sequence:
    decoder = StreamDecoder(lambda token: b"")
    return Sequence("r", [0] * length, length, 10_000, params, seed, decoder, StopChecker(()))


def pick(logits: Tensor, params: SamplingParams, *, seed: int = 0, length: int = 1) -> int:
    return sample(logits[None], [sequence(params, length=length, seed=seed)])[0]


def drawn(logits: Tensor, params: SamplingParams) -> Counter[int]:
    """What comes at `DRAWS` positions with one seed."""
    rows = [sequence(params, length=length, seed=11) for length in range(1, DRAWS + 1)]
    return Counter(sample(logits.expand(DRAWS, -1), rows))


def assert_distributed(counts: Counter[int], probabilities: dict[int, float]) -> None:
    assert set(counts) <= set(probabilities)
    total = sum(counts.values())
    chi_square = sum((counts[token] - total * p) ** 2 / (total * p) for token, p in probabilities.items())
    assert chi_square < CHI_SQUARE[len(probabilities) - 1]


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(value) for value in values]
    return [weight / sum(weights) for weight in weights]


LOGITS = torch.tensor([0.0, 2.0, 1.0, -1.0, 1.5, 0.5, -0.5, 0.25, -2.0, 1.25])
ORDER = [1, 4, 9, 2, 5, 7, 0, 6, 3, 8]


def test_plain_sampling_follows_the_softmax() -> None:
    expected = dict(enumerate(softmax(LOGITS.tolist())))
    assert_distributed(drawn(LOGITS, SamplingParams()), expected)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    expected = dict(enumerate(softmax((LOGITS / temperature).tolist())))
    likely = {token: p for token, p in expected.items() if p * DRAWS >= 5}
    counts = drawn(LOGITS, SamplingParams(temperature=temperature))
    rare = sum(counts[token] for token in expected if token not in likely)
    assert rare <= 20
    for token, p in likely.items():
        assert abs(counts[token] - p * DRAWS) < 4 * math.sqrt(p * DRAWS)


def test_top_k_keeps_the_k_likeliest_in_proportion() -> None:
    kept = ORDER[:4]
    expected = dict(zip(kept, softmax([LOGITS[token].item() for token in kept]), strict=True))
    assert_distributed(drawn(LOGITS, SamplingParams(top_k=4)), expected)


@pytest.mark.parametrize("top_k", [0, 10, 1_000_000])
def test_top_p_keeps_the_fewest_that_hold_the_mass(top_k: int) -> None:
    probabilities = softmax(LOGITS.tolist())
    mass, kept = 0.0, []
    for token in ORDER:
        kept.append(token)
        mass += probabilities[token]
        if mass >= 0.6:
            break
    expected = dict(zip(kept, softmax([LOGITS[token].item() for token in kept]), strict=True))
    assert_distributed(drawn(LOGITS, SamplingParams(top_p=0.6, top_k=top_k)), expected)


def test_min_p_drops_what_is_far_below_the_likeliest() -> None:
    kept = [token for token in ORDER if LOGITS[token] >= 2.0 + math.log(0.3)]
    expected = dict(zip(kept, softmax([LOGITS[token].item() for token in kept]), strict=True))
    assert_distributed(drawn(LOGITS, SamplingParams(min_p=0.3)), expected)


def test_a_wide_nucleus_is_found_beyond_the_first_guess() -> None:
    """5,000 equal tokens: a mass of 0.9 takes 4,500 of them, the ones with the lowest ids."""
    flat = torch.zeros(5000)
    tokens = [pick(flat, SamplingParams(top_p=0.9), length=length) for length in range(1, 400)]
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
    assert {pick(LOGITS, params, length=length) for length in range(1, 50)} == {1}


def test_of_equals_the_lowest_id_counts_as_the_likeliest() -> None:
    ties = torch.tensor([0.0, 3.0, 3.0, 3.0])
    assert pick(ties, SamplingParams(temperature=0)) == 1
    assert {pick(ties, SamplingParams(top_p=0.1), length=length) for length in range(1, 50)} == {1}


def test_min_p_of_one_keeps_all_that_tie() -> None:
    ties = torch.tensor([0.0, 3.0, 3.0, 3.0])
    assert {pick(ties, SamplingParams(min_p=1), length=length) for length in range(1, 50)} == {1, 2, 3}


def test_tokens_that_are_ruled_out_are_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0])
    assert {pick(logits, SamplingParams(), length=length) for length in range(1, 200)} == {1, 3}


def test_the_same_seed_and_position_draw_the_same_token_in_any_company() -> None:
    logits = torch.randn(6, 500, generator=torch.Generator().manual_seed(1))
    params = SamplingParams(top_k=50)
    rows = [sequence(params, length=5 + row, seed=row) for row in range(6)]
    together = sample(logits, rows)
    assert together == [sample(logits[row : row + 1], [rows[row]])[0] for row in range(6)]
    assert together == sample(logits.flip(0), rows[::-1])[::-1]


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
    rows = [sequence(SamplingParams(temperature=0)), sequence(SamplingParams(top_k=3, seed=1))]
    assert sample(LOGITS.expand(2, -1), rows)[0] == 1


def test_nothing_to_sample_gives_nothing() -> None:
    assert sample(torch.empty(0, 10), []) == []


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    with pytest.raises(EngineError, match="not numbers"):
        pick(torch.tensor([0.0, bad]), SamplingParams())
