"""What the penalties do to logits: what OpenAI's formula says, and transformers' processors do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor

from engine.admission import check_params
from engine.errors import ParameterError
from engine.penalties import WINDOW, Penalties
from engine.sampling_params import SamplingParams

VOCABULARY = 100
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ALL = SamplingParams(presence_penalty=0.5, frequency_penalty=0.25, repeat_penalty=1.3)


def logits(rows: int = 1) -> Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(rows)) * 3


def penalized(params: SamplingParams, tokens: list[int], prompt: int, drafts: tuple[int, ...] = ()) -> Tensor:
    rows = logits(1 + len(drafts))
    Penalties(params, tokens, prompt).apply(rows, drafts)
    return rows


def test_presence_counts_once_and_frequency_each_time_and_neither_in_the_prompt() -> None:
    before, after = (
        logits()[0],
        penalized(SamplingParams(presence_penalty=0.5, frequency_penalty=0.25), [9, 1, 2, 2], 1),
    )
    assert float(before[1] - after[0, 1]) == pytest.approx(0.75)
    assert float(before[2] - after[0, 2]) == pytest.approx(1.0)
    untouched = [token for token in range(VOCABULARY) if token not in (1, 2)]
    assert torch.equal(after[0, untouched], before[untouched])


@pytest.mark.parametrize("penalty", [0.8, 1.1, 2.0])
def test_the_repeat_penalty_is_that_of_transformers(penalty: float) -> None:
    tokens = [3, 4, 3, 7, 49]
    after = penalized(SamplingParams(repeat_penalty=penalty), tokens, 2)
    assert torch.equal(after, RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([tokens]), logits()))


def test_the_repeat_penalty_forgets_what_is_long_past() -> None:
    after = penalized(SamplingParams(repeat_penalty=2.0), [5, *[6] * WINDOW], 3)
    assert after[0, 5] == logits()[0, 5]
    assert after[0, 6] != logits()[0, 6]


@pytest.mark.parametrize("device", DEVICES)
def test_a_row_after_guesses_is_the_one_that_comes_when_they_are_there(device: str) -> None:
    tokens, drafts = [1, 2, 3, 3, *range(10, 10 + WINDOW)], (3, 8, 8)
    rows = logits(4).to(device)
    Penalties(ALL, tokens, 2).apply(rows, drafts)
    for ahead in range(4):
        row = logits(4)[ahead : ahead + 1]
        Penalties(ALL, [*tokens, *drafts[:ahead]], 2).apply(row, ())
        assert torch.equal(rows[ahead].cpu(), row[0])


def test_tokens_that_come_one_by_one_count_as_those_that_are_there() -> None:
    tokens = [1, 2]
    growing = Penalties(ALL, tokens, 2)
    for token in (4, 4, 5, 2):
        row, again = logits(), logits()
        growing.apply(row, ())
        Penalties(ALL, tokens, 2).apply(again, ())
        assert torch.equal(row, again)
        tokens.append(token)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (SamplingParams(presence_penalty=float("nan")), "presence_penalty"),
        (SamplingParams(frequency_penalty=float("inf")), "frequency_penalty"),
        (SamplingParams(repeat_penalty=0), "repeat_penalty"),
        (SamplingParams(repeat_penalty=float("nan")), "repeat_penalty"),
        (SamplingParams(logit_bias=((VOCABULARY, 1.0),)), "logit_bias"),
        (SamplingParams(logit_bias=((-1, 1.0),)), "logit_bias"),
        (SamplingParams(logit_bias=((1, 101.0),)), "logit_bias"),
        (SamplingParams(logit_bias=((1, float("nan")),)), "logit_bias"),
        (SamplingParams(logprobs=-1), "logprobs"),
        (SamplingParams(logprobs=101), "logprobs"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(params: SamplingParams, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_params(params, VOCABULARY)
    assert caught.value.field == field
