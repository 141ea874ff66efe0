"""Guesses, right or wrong, leave every bit of what an answer is picked from as it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.scheduler import Proposer
from engine.sequence import Sequence
from tests.engine.running import GREEDY, SAMPLED, Result, alone, assert_same, prompts, run, watched_logits

PATHS = ("fast", "reference")
PROMPT = prompts([40], 256)[0]


class Gambler:
    """Guesses at random, for as long as it may."""

    def __init__(self) -> None:
        self._random = random.Random(1)

    def begin_step(self, rows: int) -> None:
        pass

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        return tuple(self._random.randrange(256) for _ in range(min(room, self._random.randrange(6))))


class Oracle:
    """Knows the answers, here and there with a mistake."""

    def __init__(self, answers: dict[str, list[int]], count: int, wrong_after: int = 1000) -> None:
        self._answers, self._count, self._wrong_after = answers, count, wrong_after

    def begin_step(self, rows: int) -> None:
        pass

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        start = len(sequence.tokens) - sequence.prompt_tokens
        right = self._answers[sequence.request_id][start : start + min(room, self._count)]
        return tuple((token + 1) % 256 if place == self._wrong_after else token for place, token in enumerate(right))


def with_proposer(engine: LLMEngine, proposer: Proposer) -> LLMEngine:
    engine._scheduler._proposer = proposer
    return engine


def plain(make_engine: Callable[..., LLMEngine], params: SamplingParams, path: str = "fast") -> Result:
    return alone(make_engine(dtype_path=path, speculation=False), PROMPT, params)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_wrong_guesses_leave_every_bit_as_it_is(
    make_engine: Callable[..., LLMEngine], path: str, params: SamplingParams
) -> None:
    engine = with_proposer(make_engine(dtype_path=path), Gambler())
    assert_same(plain(make_engine, params, path), alone(engine, PROMPT, params))
    stats = engine.stats()
    assert stats.drafts_proposed > stats.drafts_accepted


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("wrong_after", [1000, 0, 2])
def test_right_guesses_give_the_same_bits(
    make_engine: Callable[..., LLMEngine], path: str, params: SamplingParams, wrong_after: int
) -> None:
    expected = plain(make_engine, params, path)
    oracle = Oracle({"alone": expected.tokens}, 4, wrong_after)
    assert_same(expected, alone(with_proposer(make_engine(dtype_path=path), oracle), PROMPT, params))


@pytest.mark.parametrize("path", PATHS)
def test_guesses_in_a_crowd_that_pushes_each_other_out_leave_every_bit(
    make_engine: Callable[..., LLMEngine], path: str
) -> None:
    """Forks, preemptions, chunks and guesses all at once."""
    asked = prompts([150, 3, 200, 150, 33], 256)
    params = replace(SAMPLED, max_tokens=60)
    single = make_engine(dtype_path=path, speculation=False)
    expected = {str(number): alone(single, prompt, params) for number, prompt in enumerate(asked)}
    engine = make_engine(dtype_path=path, context_length=400, kv_tokens=400, max_tokens_per_step=64)
    engine = with_proposer(engine, Oracle({name: result.tokens for name, result in expected.items()}, 5, 3))
    results: dict[str, Result] = {}
    with watched_logits(engine, results):
        for number, prompt in enumerate(asked):
            engine.add_request(str(number), prompt, params, n=2)
            run(engine, results, steps=number)
        run(engine, results)
    assert engine.stats().preemptions > 0
    for name, result in expected.items():
        assert_same(result, results[name])
    assert engine.stats().blocks_used == 0
