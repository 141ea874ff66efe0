"""The reference path computes what transformers computes on the same weights, and the fast path stays close to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from tests.engine.conftest import EMBEDDED
from tests.engine.data.make_greedy_answers import answer, load_reference
from tests.engine.running import GREEDY, Result, run, watched_logits

DATA = json.loads((Path(__file__).parent / "data" / "greedy_answers.json").read_text(encoding="utf-8"))
CASES, PROBED, EVERY = DATA["cases"], DATA["probed"], DATA["every"]
TOKENS = len(CASES[0]["answer"])


@pytest.fixture(scope="module")
def engine() -> LLMEngine:
    return LLMEngine.from_gguf(
        EMBEDDED, config=EngineConfig(dtype_path="reference", threads=1, device="cpu", max_batch_size=32)
    )


@pytest.fixture(scope="module")
def answers(engine: LLMEngine) -> dict[str, Result]:
    """Greedy answers to all prompts at once."""
    results: dict[str, Result] = {}
    with watched_logits(engine, results):
        for number, case in enumerate(CASES):
            engine.add_request(str(number), case["prompt"], replace(GREEDY, max_tokens=TOKENS))
        return run(engine, results)


def test_there_are_20_prompts_of_64_tokens() -> None:
    assert len(CASES) >= 20
    assert {len(case["answer"]) for case in CASES} == {64}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["text"][:24] for case in CASES])
def test_greedy_answers_are_those_of_transformers(answers: dict[str, Result], number: int) -> None:
    result, case = answers[str(number)], CASES[number]
    assert result.tokens == case["answer"]
    probes = torch.stack(result.logits[::EVERY])[:, PROBED]
    assert (probes - torch.tensor(case["logits"])).abs().max() < 1e-3


def test_the_fast_path_leaves_the_answers_of_transformers_only_at_near_ties(embedded_engine: LLMEngine) -> None:
    results: dict[str, Result] = {}
    with watched_logits(embedded_engine, results):
        for number, case in enumerate(CASES):
            embedded_engine.add_request(str(number), case["prompt"], replace(GREEDY, max_tokens=TOKENS))
        run(embedded_engine, results)
    compared = left = 0
    for number, case in enumerate(CASES):
        for token, expected, row in zip(
            results[str(number)].tokens, case["answer"], results[str(number)].logits, strict=True
        ):
            compared += 1
            if token != expected:  # from here on it is another answer
                left += 1
                assert float(row[token] - row[expected]) < 0.1, "no near-tie"
                break
    assert left <= 0.01 * compared


@pytest.mark.oracle
def test_transformers_itself_still_says_so(engine: LLMEngine) -> None:
    """All logits of an answer, against transformers as it is installed."""
    prompt = CASES[0]["prompt"]
    ids, logits = answer(load_reference(EMBEDDED), prompt, 12)
    results: dict[str, Result] = {}
    with watched_logits(engine, results):
        engine.add_request("live", prompt, replace(GREEDY, max_tokens=12))
        run(engine, results)
    assert results["live"].tokens == ids
    assert (torch.stack(results["live"].logits) - logits).abs().max() < 1e-3
