"""The measurements' texts: as long as they should be, always the same, and none like another."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.prompts import Prompts
from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer
from tests.engine.conftest import EMBEDDED


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts(EMBEDDED)


@pytest.mark.parametrize("tokens", [32, 128, 2048])
def test_a_text_is_as_long_as_asked(prompts: Prompts, tokens: int) -> None:
    with GGUFFile.open(EMBEDDED) as file:
        tokenizer = Tokenizer.from_gguf(file)
    assert len(tokenizer.encode(prompts.of_length(tokens, 7))) == tokens


def test_texts_are_the_same_in_every_run_and_differ_from_the_first_word(prompts: Prompts) -> None:
    texts = [prompts.of_length(32, number) for number in range(50)]
    assert texts == [prompts.of_length(32, number) for number in range(50)]
    assert len({text.split()[0] for text in texts}) == 50


def test_arrivals_are_random_and_as_many_as_the_rate_says(prompts: Prompts) -> None:
    arrivals = list(prompts.poisson(20, 10, seed=1))
    assert 150 < len(arrivals) < 250
    assert all(earlier.at < later.at < 10 for earlier, later in pairwise(arrivals))
    assert list(prompts.poisson(20, 10, seed=1)) == arrivals
    assert len({arrival.max_tokens for arrival in arrivals}) > 2
