"""Answers that share computed blocks have the bits of answers that compute everything themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.loading import load_model
from engine.sampling_params import MOST_ANSWERS
from engine.sequence import sibling_seed
from engine.step import BLOCK
from tests.engine.running import GREEDY, SAMPLED, Result, alone, ask, assert_same, prompts, run, watched_logits

PATHS = ("fast", "reference")
SIZES = [1, BLOCK, BLOCK + 1, 5 * BLOCK + 7]


def watched(engine: LLMEngine, prompt: list[int], **settings: object) -> dict[str, Result]:
    """The answers to a prompt on whatever the engine remembers."""
    results: dict[str, Result] = {}
    with watched_logits(engine, results):
        engine.add_request("r", prompt, SAMPLED, **settings)
        return run(engine, results)


# The prefix cache


@pytest.mark.parametrize("path", PATHS)
def test_a_prompt_that_is_remembered_gives_the_bits_of_one_that_is_read(
    make_engine: Callable[..., LLMEngine], path: str
) -> None:
    engine, single = make_engine(dtype_path=path), make_engine(dtype_path=path)
    for prompt in prompts(SIZES, 256):
        watched(engine, prompt)
        again = watched(engine, prompt)["r"]
        assert_same(alone(single, prompt, SAMPLED), again)
        assert again.outputs[0].cached == min(len(prompt) // BLOCK * BLOCK, len(prompt) - 1)


@pytest.mark.parametrize("path", PATHS)
def test_the_next_turn_reads_only_what_is_new_and_has_the_same_bits(
    make_engine: Callable[..., LLMEngine], path: str
) -> None:
    """The answer before is remembered too."""
    engine, prompt = make_engine(dtype_path=path), prompts([50], 256)[0]
    for _ in range(4):
        before = engine.stats().tokens_computed
        result = watched(engine, prompt)["r"]
        assert_same(alone(make_engine(dtype_path=path, speculation=False), prompt, SAMPLED), result)
        cached = result.outputs[0].cached
        drafts = engine.stats().drafts_proposed
        assert engine.stats().tokens_computed - before <= len(prompt) - cached + len(result.tokens) - 1 + drafts
        prompt = [*prompt, *result.tokens, *prompts([9], 256)[0]]
    assert result.outputs[0].cached >= len(prompt) - 9 - len(result.tokens) - 9 - BLOCK


def test_what_was_found_and_looked_for_is_counted(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(speculation=False)
    prompt = prompts([3 * BLOCK + 5], 256)[0]
    ask(engine, prompt)
    ask(engine, prompt)
    stats = engine.stats()
    assert (stats.prefix_query_tokens, stats.prefix_hit_tokens) == (2 * len(prompt), 3 * BLOCK)
    assert stats.tokens_computed == 2 * (len(prompt) + GREEDY.max_tokens - 1) - 3 * BLOCK
    assert stats.blocks_cached == (len(prompt) + GREEDY.max_tokens - 1) // BLOCK


def test_old_prompts_are_forgotten_when_memory_is_needed(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(context_length=160, kv_tokens=160)
    for prompt in prompts([100, 100, 100], 256):
        ask(engine, prompt)
    stats = engine.stats()
    assert stats.evictions > 0
    assert stats.blocks_used == 0
    assert stats.blocks_cached + stats.blocks_free == 10


# Several answers to one prompt


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_each_of_several_answers_has_the_bits_of_one_asked_for_alone(
    make_engine: Callable[..., LLMEngine], path: str, batch: int
) -> None:
    """Whether they run at once or one after the other."""
    single = make_engine(dtype_path=path)
    for prompt in prompts(SIZES, 256):
        results = watched(make_engine(dtype_path=path, max_batch_size=batch), prompt, n=3)
        assert sorted(results) == ["r", "r.1", "r.2"]
        for index, result in enumerate(results[name] for name in sorted(results)):
            params = replace(SAMPLED, seed=sibling_seed(7, index))
            assert_same(alone(single, prompt, params), result)


def test_the_prompt_of_several_answers_is_read_once(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(speculation=False)
    prompt = prompts([200], 256)[0]
    results = watched(engine, prompt, n=4)
    stats = engine.stats()
    assert stats.tokens_computed == len(prompt) + 3 + 4 * (SAMPLED.max_tokens - 1)
    assert (stats.forks, stats.copies) == (3, 3), "one of the four writes on where all begin, the others copy"
    assert (stats.requests_finished, stats.tokens_generated) == (1, 4 * SAMPLED.max_tokens)
    assert len({tuple(result.tokens) for result in results.values()}) == 4


def test_each_of_several_answers_ends_by_itself(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine()
    engine.add_request("r", [1, 2, 3], replace(SAMPLED, temperature=4.0, top_k=0, top_p=1, ignore_eos=False), n=60)
    ends: dict[int, str | None] = {}
    while engine.has_work():
        for output in engine.step():
            assert output.index not in ends, "an answer goes on after its end"
            if output.finish_reason is not None:
                ends[output.index] = output.finish_reason
    assert sorted(ends) == list(range(60))
    assert set(ends.values()) == {"stop", "length"}
    assert engine.stats().blocks_used == 0


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_aborting_ends_all_answers_of_a_request(make_engine: Callable[..., LLMEngine], steps: int) -> None:
    engine = make_engine(max_batch_size=2, max_tokens_per_step=30)
    engine.add_request("r", [9] * 50, GREEDY, n=5)
    run(engine, steps=steps)
    engine.abort("r")
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used, engine.has_work()) == (0, 0, 0, False)


def test_a_request_whose_first_answer_runs_does_not_wait(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=1)
    engine.add_request("r", [1, 2, 3], GREEDY, n=2)
    engine.add_request("waits", [1, 2, 3], GREEDY)
    run(engine, steps=2)
    assert engine.queue_places() == {"waits": 1}


@pytest.mark.parametrize("n", [0, -1, MOST_ANSWERS + 1])
def test_a_number_of_answers_that_makes_no_sense_is_refused(make_engine: Callable[..., LLMEngine], n: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MOST_ANSWERS} answers"):
        make_engine().add_request("r", [1], GREEDY, n=n)


def test_the_first_of_several_answers_has_the_seed_itself() -> None:
    assert sibling_seed(5, 0) == 5
    seeds = [sibling_seed(seed, index) for seed in (0, 5, 2**63 - 1) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


# Clients


def test_one_client_with_fifty_requests_holds_up_another_for_two_steps(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=4)
    params = replace(GREEDY, max_tokens=200)
    for number in range(50):
        engine.add_request(f"many{number}", [number, 2, 3], params, fairness_key="many")
    run(engine, steps=10)
    engine.add_request("single", [1, 2, 3], GREEDY, fairness_key="single")
    results = run(engine, steps=2)
    assert results["single"].tokens
    assert engine.stats().preemptions == 1


# Another model


@pytest.mark.parametrize("n", [1, 3])
def test_answers_go_on_when_the_model_is_replaced(
    make_engine: Callable[..., LLMEngine], tiny_model: Path, n: int
) -> None:
    """By one that computes the same: the answers are those of an engine that was left alone."""
    prompt = prompts([70], 256)[0]
    expected = watched(make_engine(), prompt, n=n)
    engine, results = make_engine(max_batch_size=2), dict[str, Result]()
    engine.add_request("r", prompt, SAMPLED, n=n)
    engine.add_request("waits", prompt, SAMPLED)
    run(engine, results, steps=6)
    engine.replace_model(load_model(tiny_model, EngineConfig(threads=1, device="cpu", kv_tokens=2048)).computation)
    assert engine.stats().blocks_used == engine.stats().blocks_cached == 0
    run(engine, results)
    for name, result in expected.items():
        assert (results[name].tokens, results[name].text) == (result.tokens, result.text)
    assert results["waits"].tokens == expected["r"].tokens
    stats = engine.stats()
    assert stats.blocks_free + stats.blocks_cached == 2048 // BLOCK
    assert stats.requests_finished == 2, "what was counted is still known"
