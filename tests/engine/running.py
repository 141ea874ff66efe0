"""Running an engine to the end, in the few words that tests need."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from engine.block_manager import BlockManager
from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from engine.sampling_params import SamplingParams
from engine.scheduler import Chunk

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
SAMPLED = SamplingParams(temperature=1.0, top_k=40, top_p=0.95, max_tokens=20, seed=7, ignore_eos=True)


@dataclass(slots=True)
class Result:
    """All that came out for one answer. `logits` are the rows its tokens were picked from."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: str | None = None
    outputs: list[StepOutput] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)


def run(engine: LLMEngine, results: dict[str, Result] | None = None, *, steps: int | None = None) -> dict[str, Result]:
    """Step until there is no work, or `steps` times. Further answers to a request are named `name.1`, `name.2` ..."""
    results = {} if results is None else results
    while engine.has_work() and steps != 0:
        for output in engine.step():
            result = results.setdefault(_name(output.request_id, output.index), Result())
            result.outputs.append(output)
            result.tokens += output.new_token_ids
            result.text += output.text
            result.finish_reason = output.finish_reason
        steps = None if steps is None else steps - 1
    return results


def ask(engine: LLMEngine, prompt: list[int], params: SamplingParams = GREEDY) -> Result:
    """The answer to one prompt."""
    engine.add_request("only", prompt, params)
    return run(engine)["only"]


def prompts(sizes: list[int], vocabulary: int) -> list[list[int]]:
    source = random.Random(3)
    return [[source.randrange(vocabulary) for _ in range(size)] for size in sizes]


def forget(engine: LLMEngine) -> None:
    """Empty the prefix cache."""
    engine._scheduler.restart(BlockManager(engine._scheduler.blocks.blocks))


def alone(engine: LLMEngine, prompt: list[int], params: SamplingParams) -> Result:
    """The answer to one prompt, of which nothing is computed yet."""
    forget(engine)
    results: dict[str, Result] = {}
    with watched_logits(engine, results):
        engine.add_request("alone", prompt, params)
        return run(engine, results)["alone"]


def assert_same(first: Result, second: Result) -> None:
    assert first.tokens == second.tokens
    assert first.text == second.text
    assert len(first.logits) == len(second.logits)
    for one, other in zip(first.logits, second.logits, strict=True):
        assert torch.equal(one, other), f"the logits differ by up to {(one - other).abs().max()}"


@contextmanager
def watched_logits(engine: LLMEngine, results: dict[str, Result]) -> Iterator[None]:
    """Meanwhile, each row of logits that a token is picked from is kept in `results`."""
    rows: dict[str, list[Tensor]] = {}
    run_model, step = engine._runner.run, engine.step

    def watching(chunks: list[Chunk]) -> Tensor:
        logits = run_model(chunks)
        places = iter(logits)
        for chunk in chunks:
            rows[_name(chunk.sequence.request_id, chunk.sequence.index)] = list(islice(places, chunk.wanted))
        return logits

    def stepping() -> list[StepOutput]:
        outputs = step()
        for output in outputs:
            name = _name(output.request_id, output.index)
            picked = rows[name][: len(output.new_token_ids)]
            results.setdefault(name, Result()).logits.extend(row.clone() for row in picked)
        return outputs

    engine._runner.run, engine.step = watching, stepping
    try:
        yield
    finally:
        engine._runner.run, engine.step = run_model, step


def _name(request_id: str, index: int) -> str:
    return f"{request_id}.{index}" if index else request_id
