"""Switchboard's engine beside the library transformers: `python -m bench.against_transformers [--short]`.

The same file for all. `generate` in float32 and bfloat16, alone and as one batch, and its continuous
batching. Every contestant has a process of its own and two threads; they take turns. Prints a table, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.make_q4_0 import SOURCE
from bench.processes import build_kernels, run_python, say
from bench.prompts import Prompts
from bench.report import Results, write_json
from bench.servers import ROOT, THREADS
from bench.transformers_model import load_transformers
from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams

PROMPT = 32  # tokens
ENGINE, CONTINUOUS = "Switchboard", "transformers, continuous batching"
DTYPES = {"transformers float32": torch.float32, "transformers bfloat16": torch.bfloat16}
COLUMNS = (ENGINE, *DTYPES, CONTINUOUS)


def generate(model: Any, prompts: Sequence[list[int]], tokens: int) -> float:
    """Seconds that `generate` takes for `tokens` new tokens to each of `prompts`, which are all of one length."""
    ids = torch.tensor(prompts)
    started = time.perf_counter()
    with torch.inference_mode():
        answers = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
    assert answers.shape == (len(prompts), len(prompts[0]) + tokens)
    return time.perf_counter() - started


def answer_all(engine: LLMEngine, prompts: Sequence[list[int]], tokens: int) -> float:
    """Seconds that our engine takes for the same, all at once."""
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    started = time.perf_counter()
    for number, prompt in enumerate(prompts):
        engine.add_request(str(number), prompt, params)
    while engine.has_work():
        engine.step()
    return time.perf_counter() - started


def measure(column: str, path: Path, batches: Sequence[int], tokens: int) -> dict[str, float]:
    """New tokens a second in sum, the reading of the prompts included, for each size of batch."""
    prompts, figures = Prompts(path), {}
    began = time.perf_counter()
    answer = answerer(column, path, max(batches), tokens)
    figures["load, s"] = time.perf_counter() - began
    answer([prompts.ids(PROMPT, 1)])  # once, to warm up
    for batch in batches:
        asked = [prompts.ids(PROMPT, 1000 * batch + number) for number in range(batch)]
        figures[f"{batch} at once, tok/s"] = batch * tokens / answer(asked)
    return figures


def answerer(column: str, path: Path, most: int, tokens: int) -> Callable[[Sequence[list[int]]], float]:
    """A contestant, ready to answer at most `most` prompts at once. It gives the seconds that it took."""
    if column == ENGINE:
        build_kernels()
        engine = LLMEngine.from_gguf(path, config=EngineConfig(threads=THREADS, max_batch_size=most))
        return lambda prompts: answer_all(engine, prompts, tokens)
    torch.set_num_threads(THREADS)
    model = load_transformers(path, DTYPES.get(column, torch.float32))
    way = continuously if column == CONTINUOUS else generate
    return lambda prompts: way(model, prompts, tokens)


def continuously(model: Any, prompts: Sequence[list[int]], tokens: int) -> float:
    """As `generate`, by transformers' own continuous batching."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    wanted = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
    memory = ContinuousBatchingConfig(num_blocks=256, max_batch_tokens=512)  # left to itself, it takes all there is
    started = time.perf_counter()
    answers = model.generate_batch(inputs=list(prompts), generation_config=wanted, continuous_batching_config=memory)
    taken = time.perf_counter() - started
    produced = sum(len(output.generated_tokens) for output in answers.values())
    if produced != len(prompts) * tokens:
        raise RuntimeError(f"It gave {produced} tokens instead of {len(prompts) * tokens}.")
    return taken


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="one round with fewer sizes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmark_transformers.json")
    parser.add_argument("--only", choices=COLUMNS, help="measure this one in this process, print JSON on one line")
    options = parser.parse_args()
    batches, rounds, tokens = ((1, 8), 1, 24) if options.short else ((1, 4, 16), 2, 48)
    if options.only:
        print(json.dumps(measure(options.only, SOURCE, batches, tokens)))
        return
    results, failures = Results(COLUMNS), {}
    for _ in range(rounds):
        for column in COLUMNS:
            arguments = ["-m", "bench.against_transformers", "--only", column, *(["--short"] if options.short else [])]
            try:
                figures = json.loads(run_python(*arguments).splitlines()[-1])
            except subprocess.CalledProcessError as error:
                failures[column] = f"It ended with status {error.returncode}; its words are above."
                continue
            results.add(column, figures)
            say(f"{column}: {figures}")
    print(results.table({}))
    for column, reason in failures.items():
        print(f"{column} was not measured. {reason}")
    write_json(options.out, results, failures=failures)


if __name__ == "__main__":
    main()
