"""Guessing ahead changes how many steps an answer takes, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.sequence import Sequence
from tests.engine.distributions import assert_distributed, distribution
from tests.engine.running import GREEDY, Result, ask, run, watched_logits
from tests.tiny_model import END

MakeEngine = Callable[..., LLMEngine]
PROMPT = [50, 60, 70, 80]
LONG = replace(GREEDY, max_tokens=100)
SAMPLED = SamplingParams(temperature=0.6, top_k=5, top_p=0.95, max_tokens=100, seed=1, ignore_eos=True)
WILD = SamplingParams(temperature=5.0, max_tokens=150, seed=7, ignore_eos=True)


class Scripted:
    """Guesses that every answer goes on as `script` says, from its first token on."""

    def __init__(self, script: list[int], most: int = 8) -> None:
        self.script, self.most = script, most

    def begin_step(self, rows: int) -> None:
        pass

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        said = len(sequence.tokens) - sequence.prompt_tokens
        return tuple(self.script[said:][: min(room, self.most)])


@pytest.fixture(scope="module")
def engine(make_engine: MakeEngine) -> LLMEngine:
    """One that guesses what a test lets it guess."""
    return make_engine(dtype_path="eager")


@pytest.fixture(scope="module")
def plain(make_engine: MakeEngine) -> LLMEngine:
    return make_engine(dtype_path="eager", speculation=False)


@pytest.fixture(scope="module")
def text(plain: LLMEngine) -> list[int]:
    """What the model says to PROMPT."""
    return ask(plain, PROMPT, LONG).tokens


def guided(engine: LLMEngine, script: list[int], most: int = 8) -> LLMEngine:
    """The engine, which guesses as `script` says from now on."""
    engine._scheduler._proposer = Scripted(script, most)
    return engine


def drafts(engine: LLMEngine) -> tuple[int, int]:
    stats = engine.stats()
    return stats.drafts_proposed, stats.drafts_accepted


@pytest.mark.parametrize("path", ["fast", "eager", "reference"])
@pytest.mark.parametrize("params", [LONG, SAMPLED, WILD], ids=["greedy", "sampled", "wild"])
def test_an_answer_is_the_same_with_guesses_and_without(
    make_engine: MakeEngine, path: str, params: SamplingParams
) -> None:
    guessing, plain = (make_engine(dtype_path=path, speculation=speculation) for speculation in (True, False))
    first, second = ask(guessing, PROMPT, params), ask(plain, PROMPT, params)
    assert (first.tokens, first.text, first.finish_reason) == (second.tokens, second.text, second.finish_reason)
    assert drafts(guessing)[0] > 0
    assert drafts(plain) == (0, 0)


def test_answers_in_a_batch_are_the_same_with_guesses_and_without(make_engine: MakeEngine) -> None:
    """Several at once, with too little memory for all, so that some are computed again."""
    results: list[dict[str, Result]] = []
    for speculation in (True, False):
        engine = make_engine(dtype_path="eager", speculation=speculation, kv_tokens=160, context_length=160)
        for seed in range(5):
            engine.add_request(str(seed), [50, 60, seed], replace(SAMPLED, seed=seed, max_tokens=50))
        results.append(run(engine))
        assert engine.stats().preemptions > 0
        assert (drafts(engine)[1] > 20) is speculation
    for name, result in results[0].items():
        assert result.tokens == results[1][name].tokens


@pytest.mark.parametrize("params", [LONG, SAMPLED], ids=["greedy", "sampled"])
def test_what_is_guessed_right_takes_a_fraction_of_the_steps(
    engine: LLMEngine, plain: LLMEngine, params: SamplingParams
) -> None:
    text = ask(plain, PROMPT, params).tokens
    before = drafts(engine)
    result = ask(guided(engine, text), PROMPT, params)
    assert result.tokens == text
    assert len(result.outputs) < len(text) / 5
    proposed, accepted = (after - earlier for after, earlier in zip(drafts(engine), before, strict=True))
    assert proposed == accepted > 80


def test_the_embedded_model_repeats_a_text_in_less_than_half_the_steps(embedded_engine: LLMEngine) -> None:
    text = "The keeper of the old lighthouse, Thomas Hale, climbed one hundred and twelve steps each evening at six."
    request = {"role": "user", "content": f"Repeat this text exactly, word for word:\n\n{text}"}
    prompt = embedded_engine.tokenizer.encode_chat([request])
    before = drafts(embedded_engine)
    result = ask(embedded_engine, prompt, SamplingParams(temperature=0, max_tokens=24))
    proposed, accepted = (after - earlier for after, earlier in zip(drafts(embedded_engine), before, strict=True))
    assert accepted > proposed / 2
    assert len(result.outputs) < len(result.tokens) / 2


def test_a_text_that_says_nothing_again_wastes_few_rows(make_engine: MakeEngine) -> None:
    engine = make_engine(dtype_path="eager")
    result = ask(engine, PROMPT, replace(WILD, temperature=50.0, max_tokens=300))
    proposed, accepted = drafts(engine)
    assert proposed - accepted < len(result.tokens) / 20


def test_wrong_guesses_cost_no_step(engine: LLMEngine, text: list[int]) -> None:
    accepted = drafts(engine)[1]
    result = ask(guided(engine, [(token + 1) % 256 for token in text]), PROMPT, LONG)
    assert result.tokens == text
    assert len(result.outputs) == len(text)
    assert drafts(engine)[1] == accepted


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 10, 11])
def test_no_answer_is_longer_than_it_may_be(engine: LLMEngine, text: list[int], limit: int) -> None:
    result = ask(guided(engine, text), PROMPT, replace(LONG, max_tokens=limit))
    assert result.tokens == text[:limit]
    assert result.finish_reason == "length"


def test_a_context_that_is_full_ends_an_answer_among_guesses(make_engine: MakeEngine, text: list[int]) -> None:
    result = ask(guided(make_engine(dtype_path="eager", context_length=32), text), PROMPT, LONG)
    assert result.tokens == text[:28]
    assert result.finish_reason == "length"


@pytest.mark.parametrize("place", [3, 4, 5, 9])
def test_a_stop_string_among_guesses_ends_an_answer_before_it(engine: LLMEngine, plain: LLMEngine, place: int) -> None:
    params = replace(LONG, max_tokens=30)
    whole = ask(plain, [100], params)
    params = replace(params, stop=(whole.text[place : place + 2],))
    expected = ask(plain, [100], params)
    result = ask(guided(engine, whole.tokens), [100], params)
    assert (result.text, result.tokens, result.finish_reason) == (expected.text, expected.tokens, "stop")
    assert result.text == whole.text[: whole.text.index(params.stop[0])]
    assert engine.stats().blocks_used == 0


def test_an_end_token_among_guesses_ends_an_answer_at_once(engine: LLMEngine, make_engine: MakeEngine) -> None:
    """Guesses go on past the end as if nothing were."""
    plain = make_engine(dtype_path="eager", speculation=False, max_batch_size=64)
    params = SamplingParams(temperature=3.0, max_tokens=60)
    for seed in range(64):
        plain.add_request(str(seed), PROMPT, replace(params, seed=seed))
    ended = [(seed, answer) for seed, answer in run(plain).items() if answer.tokens[-1] == END and answer.tokens[2:]]
    assert ended
    for seed, expected in ended[:3]:
        script = [*expected.tokens, 1, 2, 3]
        result = ask(guided(engine, script), PROMPT, replace(params, seed=int(seed)))
        assert (result.tokens, result.text, result.finish_reason) == (expected.tokens, expected.text, "stop")
        assert len(result.outputs) <= len(result.tokens) // 8 + 2


def test_what_follows_a_guess_has_the_distribution_that_it_has_without(
    make_engine: MakeEngine, text: list[int]
) -> None:
    """Of answers in which the guess came true, the next token, which is sampled in the same step as the guess."""
    params = SamplingParams(temperature=1.0, top_k=4, max_tokens=3, ignore_eos=True)
    first, guess, *_ = text
    engine = guided(make_engine(dtype_path="eager", max_batch_size=64, max_queue_size=1000), [first, guess], most=1)
    for seed in range(800):
        engine.add_request(str(seed), PROMPT, replace(params, seed=seed))
    answers = run(engine).values()
    counts = Counter(answer.tokens[2] for answer in answers if answer.tokens[:2] == [first, guess])
    assert all(len(answer.outputs) == 2 for answer in answers if answer.tokens[1] == guess)
    watched: dict[str, Result] = {}
    with watched_logits(engine, watched):
        engine.add_request("exact", [*PROMPT, first, guess], replace(GREEDY, max_tokens=1))
        run(engine)
    assert counts.total() > 80
    assert_distributed(counts, distribution(watched["exact"].logits[0], params))
