"""A token's logits depend on the tokens before it and on nothing else, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.sequence import sibling_seed
from tests.engine.conftest import EMBEDDED
from tests.engine.running import GREEDY, SAMPLED, Result, alone, assert_same, forget, prompts, run, watched_logits

PATHS = ("fast", "eager", "reference")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_a_prompt_read_in_chunks_gives_the_bits_of_one_read_whole(
    make_engine: Callable[..., LLMEngine], path: str, chunk: int
) -> None:
    prompt = prompts([300], 256)[0]
    whole = alone(make_engine(dtype_path=path, max_tokens_per_step=300), prompt, GREEDY)
    assert_same(whole, alone(make_engine(dtype_path=path, max_tokens_per_step=chunk), prompt, GREEDY))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_eight_at_once_give_the_bits_of_each_alone(
    make_engine: Callable[..., LLMEngine], path: str, params: SamplingParams
) -> None:
    """Prompts of one to three cache blocks, which join and leave at different steps."""
    asked = prompts([5, 700, 60, 255, 256, 257, 1, 500], 256)
    batch = make_engine(dtype_path=path, max_tokens_per_step=100)
    results: dict[str, Result] = {}
    with watched_logits(batch, results):
        for number, prompt in enumerate(asked):
            batch.add_request(str(number), prompt, replace(params, max_tokens=20 + 3 * number))
            run(batch, results, steps=number)
        run(batch, results)
    single = make_engine(dtype_path=path)
    for number, prompt in enumerate(asked):
        assert_same(alone(single, prompt, replace(params, max_tokens=20 + 3 * number)), results[str(number)])


@pytest.mark.parametrize("path", PATHS)
def test_what_was_preempted_and_computed_again_has_the_same_bits(
    make_engine: Callable[..., LLMEngine], path: str
) -> None:
    """Room for 1,024 tokens and three sequences that come to need more."""
    asked = prompts([300, 300, 300], 256)
    params = replace(SAMPLED, max_tokens=120)
    crowded = make_engine(dtype_path=path, kv_tokens=1024)
    results: dict[str, Result] = {}
    with watched_logits(crowded, results):
        for number, prompt in enumerate(asked):
            crowded.add_request(str(number), prompt, params)
        run(crowded, results)
    assert crowded.stats().preemptions > 0
    for number, prompt in enumerate(asked):
        assert_same(alone(make_engine(dtype_path=path), prompt, params), results[str(number)])


def test_a_decoded_token_has_the_bits_of_a_prefilled_one(make_engine: Callable[..., LLMEngine]) -> None:
    prompt = prompts([100], 256)[0]
    decoded = alone(make_engine(), prompt, GREEDY)
    prefilled = alone(make_engine(), prompt + decoded.tokens[:-1], replace(GREEDY, max_tokens=1))
    assert torch.equal(decoded.logits[-1], prefilled.logits[0])


@pytest.mark.parametrize("path", PATHS)
def test_two_threads_give_the_bits_of_one(make_engine: Callable[..., LLMEngine], path: str) -> None:
    prompt = prompts([120], 256)[0]
    one = alone(make_engine(dtype_path=path), prompt, SAMPLED)
    try:
        two = alone(make_engine(dtype_path=path, threads=2), prompt, SAMPLED)
    finally:
        torch.set_num_threads(1)
    assert_same(one, two)


def test_the_embedded_model_gives_the_same_bits_in_a_batch_and_in_chunks(embedded_engine: LLMEngine) -> None:
    """Its layers are wide enough for the library to change kernels with the number of rows."""
    asked = prompts([40, 3, 17, 64], 49_152)
    params = replace(SAMPLED, max_tokens=3)
    singles = [alone(embedded_engine, prompt, params) for prompt in asked]
    results: dict[str, Result] = {}
    forget(embedded_engine)
    with watched_logits(embedded_engine, results):
        for number, prompt in enumerate(asked):
            embedded_engine.add_request(str(number), prompt, params)
            run(embedded_engine, results, steps=1)
        run(embedded_engine, results)
    for number, single in enumerate(singles):
        assert_same(single, results[str(number)])


def test_the_compiled_embedded_model_gives_the_same_bits_under_every_circumstance(
    make_engine: Callable[..., LLMEngine], kernels: Path
) -> None:
    """Prompts in chunks, too little memory, two answers each, guesses that come true, and beginnings that are known."""
    single = make_engine(EMBEDDED, speculation=False)
    crowded = make_engine(EMBEDDED, context_length=96, kv_tokens=128, max_tokens_per_step=24)
    assert crowded.computing.startswith("native kernels")
    counting = crowded.tokenizer.encode("one two three four, " * 6)
    asked = [counting, prompts([20], 49_152)[0], [*counting, 5, 6, 7]]
    params = replace(SAMPLED, temperature=0.5, max_tokens=40)
    results: dict[str, Result] = {}
    with watched_logits(crowded, results):
        for number, prompt in enumerate(asked):
            crowded.add_request(str(number), prompt, params, n=2)
            run(crowded, results, steps=2)
        run(crowded, results)
    for number, prompt in enumerate(asked):
        for index, name in enumerate((f"{number}", f"{number}.1")):
            own = replace(params, seed=sibling_seed(7, index))
            assert_same(alone(single, prompt, own), results[name])
    stats = crowded.stats()
    counts = stats.preemptions, stats.forks, stats.prefix_hit_tokens, stats.drafts_accepted
    assert all(counts), f"something did not happen: {counts}"
