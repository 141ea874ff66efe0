"""Answers with penalties, biases and forms are the same alone, in a crowd, with guesses, and when they are resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.guide import Guide
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.structured import Grammars, json_grammar
from tests.engine.running import Result, forget, run

MakeEngine = Callable[..., LLMEngine]
PROMPT = [50, 60, 70, 80]
PENALIZED = SamplingParams(
    temperature=0.6,
    top_k=5,
    seed=1,
    max_tokens=40,
    ignore_eos=True,
    presence_penalty=-1.5,
    frequency_penalty=0.2,
    repeat_penalty=1.1,
    logit_bias=((70, 3.0), (71, -100.0)),
)
GUIDED = SamplingParams(temperature=0.8, seed=3, max_tokens=90, frequency_penalty=0.1)
ROWS = {"type": "array", "items": {"enum": ["one two", "one three", 12]}, "minItems": 6, "maxItems": 8}


class Asked:
    """A request, and the guide that it needs each time it is made."""

    def __init__(self, params: SamplingParams, schema: dict[str, object] | None = None) -> None:
        self.params, self._schema = params, schema

    def guide(self, engine: LLMEngine) -> Guide | None:
        return None if self._schema is None else Grammars(engine.tokenizer).guide(json_grammar(self._schema))

    def add(self, engine: LLMEngine, name: str, n: int = 1, resumed: tuple[int, ...] = ()) -> None:
        engine.add_request(name, PROMPT, self.params, n=n, resumed=resumed, guide=self.guide(engine))

    def alone(self, engine: LLMEngine, n: int = 1) -> dict[str, Result]:
        forget(engine)
        self.add(engine, "a", n)
        return run(engine)


ASKED = {"penalized": Asked(PENALIZED), "guided": Asked(GUIDED, ROWS)}
each = pytest.mark.parametrize("asked", ASKED.values(), ids=list(ASKED))


@pytest.fixture(scope="module")
def plain(make_engine: MakeEngine) -> LLMEngine:
    return make_engine(speculation=False)


def same(first: Result, second: Result) -> bool:
    return (first.tokens, first.text, first.finish_reason) == (second.tokens, second.text, second.finish_reason)


@each
@pytest.mark.parametrize("path", ["fast", "eager"])
def test_in_a_crowd_with_guesses_and_too_little_memory(make_engine: MakeEngine, asked: Asked, path: str) -> None:
    alone = asked.alone(make_engine(dtype_path=path, speculation=False), n=2)
    crowded = make_engine(dtype_path=path, kv_tokens=96, context_length=96)
    together: dict[str, Result] = {}
    for name in ("a", "b", "c"):
        asked.add(crowded, name, n=2)
        run(crowded, together, steps=1)
    run(crowded, together)
    assert len(together) == 6
    for name, result in together.items():
        assert same(result, alone["a.1" if name.endswith(".1") else "a"]), name
    stats = crowded.stats()
    assert stats.preemptions > 0
    assert stats.drafts_accepted > 0
    assert stats.blocks_used == 0


@each
def test_resumed_after_any_token(plain: LLMEngine, asked: Asked) -> None:
    whole = asked.alone(plain)["a"]
    for cut in range(len(whole.tokens) + 1):
        forget(plain)
        asked.add(plain, "again", resumed=tuple(whole.tokens[:cut]))
        rest = run(plain)["again"]
        assert whole.tokens[:cut] + rest.tokens == whole.tokens, f"cut after {cut} tokens"
        assert whole.text.endswith(rest.text)
        assert rest.finish_reason == whole.finish_reason


def test_what_is_resumed_must_have_the_form(plain: LLMEngine) -> None:
    with pytest.raises(Exception, match="form that was asked for"):
        ASKED["guided"].add(plain, "other", resumed=(50, 51))
    assert not plain.has_work()


def test_a_bias_forbids_and_forces(plain: LLMEngine) -> None:
    forced = replace(PENALIZED, logit_bias=((70, 100.0),), temperature=1.0, top_k=0)
    assert set(Asked(forced).alone(plain)["a"].tokens) == {70}
    free = replace(PENALIZED, logit_bias=(), presence_penalty=0.0)
    some = Asked(free).alone(plain)["a"].tokens
    barred = replace(free, logit_bias=tuple((token, -100.0) for token in set(some)))
    assert not set(Asked(barred).alone(plain)["a"].tokens) & set(some)


def test_penalties_make_an_answer_say_more_that_is_new(plain: LLMEngine) -> None:
    greedy = SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    usual = Asked(greedy).alone(plain)["a"].tokens
    varied = Asked(replace(greedy, frequency_penalty=2.0, presence_penalty=2.0)).alone(plain)["a"].tokens
    assert len(set(varied)) > len(set(usual))


def test_rows_without_wishes_are_left_as_they_are(plain: LLMEngine) -> None:
    """One that asks for nothing, next to one that does."""
    usual = Asked(SamplingParams(temperature=0.7, seed=4, max_tokens=30, ignore_eos=True))
    alone = usual.alone(plain)["a"]
    forget(plain)
    ASKED["penalized"].add(plain, "beside")
    usual.add(plain, "a")
    assert same(run(plain)["a"], alone)


def test_what_the_form_leaves_no_choice_of_is_guessed(plain: LLMEngine, make_engine: MakeEngine) -> None:
    asked = Asked(replace(GUIDED, temperature=0), {"const": "a sentence that has to come as it is"})
    engine = make_engine()
    alone, guessed = asked.alone(plain)["a"], asked.alone(engine)["a"]
    assert same(alone, guessed)
    assert len(guessed.outputs) < len(alone.outputs) / 3
    assert engine.stats().drafts_accepted > 20


@each
@pytest.mark.parametrize("steps", [0, 1, 3, 40], ids=["waiting", "reading", "reading on", "writing"])
def test_leaving_frees_everything_before_the_next_step(make_engine: MakeEngine, asked: Asked, steps: int) -> None:
    engine = make_engine(max_tokens_per_step=16)
    free = engine.stats().blocks_free
    engine.add_request("goes", [*range(200)], asked.params, n=3, guide=asked.guide(engine))
    results = run(engine, steps=steps)
    assert bool(results and results["goes"].tokens) is (steps == 40)
    engine.abort("goes")
    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.blocks_used) == (0, 0, 0)
    assert stats.blocks_free + stats.blocks_cached == free
    assert not engine.has_work()
    assert engine.step() == []
