"""Requests come in, their tokens and text come out, and every one ends for the reason it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.errors import PromptTooLong, QueueFull
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.step import blocks_for
from tests.engine.running import GREEDY, ask, run
from tests.tiny_model import CONTEXT, END

PROMPT = [50, 60, 70, 80]


@pytest.fixture
def engine(make_engine: Callable[..., LLMEngine]) -> LLMEngine:
    return make_engine()


def test_an_answer_of_max_tokens_ends_by_length(engine: LLMEngine) -> None:
    result = ask(engine, PROMPT, replace(GREEDY, max_tokens=5))
    assert len(result.tokens) == 5
    assert result.finish_reason == "length"
    assert [output.finish_reason for output in result.outputs[:-1]] == [None] * 4


def test_the_text_is_that_of_the_tokens(engine: LLMEngine) -> None:
    result = ask(engine, PROMPT, replace(GREEDY, max_tokens=40))
    assert result.text == engine.tokenizer.decode(result.tokens)


def test_the_end_token_ends_an_answer_and_is_not_in_its_text(make_engine: Callable[..., LLMEngine]) -> None:
    """Of many sampled answers some reach the end token, which ends them at once."""
    engine = make_engine(max_batch_size=64)
    for seed in range(64):
        engine.add_request(str(seed), PROMPT, SamplingParams(temperature=3.0, max_tokens=100, seed=seed))
    results = run(engine)
    stopped = [result for result in results.values() if result.finish_reason == "stop"]
    assert stopped
    for result in results.values():
        assert (result.finish_reason == "stop") == (result.tokens[-1] == END)
        assert END not in result.tokens[:-1]
        assert "<|im_end|>" not in result.text


def test_the_end_token_can_be_ignored(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=64)
    for seed in range(64):
        params = SamplingParams(temperature=3.0, max_tokens=50, seed=seed, ignore_eos=True)
        engine.add_request(str(seed), PROMPT, params)
    results = run(engine).values()
    assert any(END in result.tokens for result in results)
    assert {len(result.tokens) for result in results} == {50}


def test_a_full_context_ends_an_answer_by_length(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(context_length=16)
    result = ask(engine, PROMPT, replace(GREEDY, max_tokens=100))
    assert len(result.tokens) == 12
    assert result.finish_reason == "length"


def test_a_stop_string_over_several_tokens_ends_an_answer_before_it(engine: LLMEngine) -> None:
    params = replace(GREEDY, max_tokens=60)
    whole = ask(engine, [100], params).text
    stop = whole[7:10]
    result = ask(engine, [100], replace(params, stop=("not in it", stop)))
    assert result.text == whole[: whole.index(stop)]
    assert result.finish_reason == "stop"


def test_what_was_held_back_for_a_stop_string_comes_at_the_end(engine: LLMEngine) -> None:
    params = replace(GREEDY, max_tokens=20)
    whole = ask(engine, [100], params).text
    result = ask(engine, [100], replace(params, stop=(whole[-1] + "\0never",)))
    assert result.text == whole
    assert result.finish_reason == "length"


def test_no_output_ends_inside_a_character(engine: LLMEngine) -> None:
    """Random bytes: what is no UTF-8 becomes U+FFFD, and the pieces are those of the whole."""
    result = ask(engine, PROMPT, SamplingParams(temperature=2.0, max_tokens=300, seed=4, ignore_eos=True))
    decoder = engine.tokenizer.decoder()
    assert result.text == "".join(map(decoder.push, result.tokens)) + decoder.flush()
    assert any(not output.text for output in result.outputs), "no character took more than one token"


def test_reading_a_long_prompt_shows_how_far_it_is(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_tokens_per_step=100)
    result = ask(engine, [9] * 250, replace(GREEDY, max_tokens=2))
    assert [output.prefilled for output in result.outputs] == [100, 200, 250, 250]
    assert {output.prompt_tokens for output in result.outputs} == {250}
    assert [len(output.new_token_ids) for output in result.outputs] == [0, 0, 1, 1]


def test_a_long_prompt_does_not_stall_those_who_decode(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_tokens_per_step=32)
    engine.add_request("first", PROMPT, replace(GREEDY, max_tokens=40))
    run(engine, steps=2)
    engine.add_request("long", [9] * 400, GREEDY)
    for _ in range(10):
        outputs = {output.request_id: output for output in engine.step()}
        assert outputs["first"].new_token_ids
        assert outputs["long"].prefilled < 400


def test_the_same_seed_gives_the_same_text_and_another_one_does_not(engine: LLMEngine) -> None:
    params = SamplingParams(temperature=1.5, max_tokens=30, seed=5, ignore_eos=True)
    first = ask(engine, PROMPT, params)
    assert ask(engine, PROMPT, params).tokens == first.tokens
    assert ask(engine, PROMPT, replace(params, seed=6)).tokens != first.tokens


def test_a_seed_that_was_drawn_can_be_used_again(engine: LLMEngine) -> None:
    params = SamplingParams(temperature=1.5, max_tokens=30, ignore_eos=True)
    seed = engine.add_request("drawn", PROMPT, params)
    drawn = run(engine)["drawn"]
    assert ask(engine, PROMPT, replace(params, seed=seed)).tokens == drawn.tokens


def test_abort_frees_the_slot_and_the_cache_at_once(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=1, speculation=False)
    engine.add_request("first", [9] * 300, replace(GREEDY, max_tokens=500))
    engine.add_request("second", PROMPT, GREEDY)
    run(engine, steps=5)
    assert engine.stats().blocks_used == blocks_for(304)
    engine.abort("first")
    assert engine.stats().blocks_used == 0
    assert [output.request_id for output in engine.step()] == ["second"]


def test_aborting_who_waits_or_is_not_there_is_no_error(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=1)
    for name in ("runs", "waits"):
        engine.add_request(name, PROMPT, GREEDY)
    run(engine, steps=1)
    engine.abort("waits")
    engine.abort("nobody")
    assert set(run(engine)) == {"runs"}


def test_a_finished_engine_holds_nothing(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(speculation=False)
    ask(engine, PROMPT)
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)
    assert (stats.tokens_generated, stats.requests_finished) == (24, 1)
    assert stats.tokens_computed == len(PROMPT) + 23
    assert not engine.has_work()
    assert engine.step() == []


def test_a_prompt_that_fills_the_context_is_refused_with_numbers(engine: LLMEngine) -> None:
    with pytest.raises(PromptTooLong, match=r"1,024 tokens and the model's context holds 1,024"):
        engine.add_request("r", [1] * CONTEXT, GREEDY)
    assert ask(engine, [1] * (CONTEXT - 1), GREEDY).finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "params", "sentence"),
    [
        ([], GREEDY, "Prompt cannot be empty"),
        (PROMPT, replace(GREEDY, max_tokens=0), "max_tokens must be at least 1"),
        (PROMPT, replace(GREEDY, max_tokens=-5), "max_tokens must be at least 1"),
        ([1, 259], GREEDY, "a token id that the model does not have"),
        ([-1], GREEDY, "a token id that the model does not have"),
    ],
)
def test_what_no_request_may_be_is_refused(
    engine: LLMEngine, prompt: list[int], params: SamplingParams, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        engine.add_request("r", prompt, params)
    assert not engine.has_work()


def test_one_name_cannot_run_twice(engine: LLMEngine) -> None:
    engine.add_request("r", PROMPT, GREEDY)
    with pytest.raises(ValueError, match="running already"):
        engine.add_request("r", PROMPT, GREEDY)


def test_more_than_may_wait_are_refused(make_engine: Callable[..., LLMEngine]) -> None:
    engine = make_engine(max_batch_size=2, max_queue_size=3)
    for number in range(5):
        engine.add_request(str(number), PROMPT, GREEDY)
    with pytest.raises(QueueFull, match="waiting already"):
        engine.add_request("5", PROMPT, GREEDY)
    assert len(run(engine)) == 5
    engine.add_request("5", PROMPT, GREEDY)
