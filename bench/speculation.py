"""What guessing ahead gains: `python -m bench.speculation [--rounds 3] [--json FILE]`, a minute or two.

The same prompts with guesses and without, in turns, greedy and sampled, for answers that say again what their prompt
said, that change it here and there, and that are new. Both give the same answers, which is checked. Tokens a second
count from an answer's first token on; a busy machine disturbs those of a CPU second less. `--costs` measures what a
step costs by its rows, for `engine/step_cost.py`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path

import torch

from bench.engine import EMBEDDED
from bench.report import Results, write_json
from engine.config import ComputePath, EngineConfig
from engine.llm_engine import LLMEngine
from engine.loading import load_model
from engine.output import StepOutput
from engine.sampling_params import SamplingParams
from engine.step import Span, StepInput, blocks_for

STORY = """The lighthouse stood at the end of the long pier, where the river met the sea. Every evening at six the \
keeper, an old man named Thomas Hale, climbed the one hundred and twelve steps to light the lamp. He had done so for \
thirty-one years. In the winter of 1887 a storm broke the eastern wall of the harbour, and eleven boats were lost in a \
single night. Thomas kept the lamp burning for three days without sleep, and the last boat found her way home."""
CODE = """```python
def read_settings(path):
    settings = {}
    with open(path) as file:
        for line in file:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            key, value = line.split("=", 1)
            settings[key.strip()] = value.strip()
    return settings


def write_settings(path, settings):
    with open(path, "w") as file:
        for key, value in settings.items():
            file.write(f"{key} = {value}\\n")
```"""
TASKS = {
    "repeat a text": (f"Repeat this text exactly, word for word:\n\n{STORY}",),
    "summarise a text": (f"Summarise this text, and quote its main sentences:\n\n{STORY}",),
    "edit code": (
        f"Rename read_settings to load_settings and print the whole code:\n\n{CODE}",
        f"Add a docstring to each function and print the whole file:\n\n{CODE}",
    ),
    "chat": (
        "Tell me a short story about a dragon who is afraid of fire.",
        "How do I make a good cup of coffee?",
        "Explain why the sky is blue.",
    ),
}
WITH, WITHOUT = "with guesses", "without"
SAMPLINGS = {
    "greedy": SamplingParams(temperature=0),
    "sampled": SamplingParams(temperature=0.7, top_p=0.9, top_k=40),
}
ROWS = (1, 2, 4, 8, 16, 32)
CONTEXT = 200  # tokens before the rows whose cost is measured


@dataclass(slots=True)
class Run:
    """What came of one task. Steps in which a prompt is read do not count."""

    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    answers: dict[str, list[int]] = field(default_factory=dict)

    def note(self, outputs: Sequence[StepOutput], seconds: float, cpu_seconds: float) -> None:
        """Take in what a step gave."""
        if all(output.request_id in self.answers for output in outputs):
            self.tokens += sum(len(output.new_token_ids) for output in outputs)
            self.steps += 1
            self.seconds += seconds
            self.cpu_seconds += cpu_seconds
        for output in outputs:
            if output.new_token_ids:
                self.answers.setdefault(output.request_id, []).extend(output.new_token_ids)


class Contestant:
    """An engine, with guesses or without."""

    def __init__(self, model: Path, path: ComputePath, threads: int, speculation: bool) -> None:
        config = EngineConfig(dtype_path=path, threads=threads, speculation=speculation)
        self._engine = LLMEngine.from_gguf(model, config=config)

    def answer(self, prompts: Sequence[str], params: SamplingParams, at_once: int) -> Run:
        """Answer the prompts, so many at once; more at once than there are prompts get them several times."""
        run = Run()
        requests = list(enumerate(prompts if at_once == 1 else islice(cycle(prompts), at_once)))
        for start in range(0, len(requests), at_once):
            for number, prompt in requests[start : start + at_once]:
                ids = self._engine.tokenizer.encode_chat([{"role": "user", "content": prompt}])
                self._engine.add_request(str(number), ids, replace(params, seed=number))
            while self._engine.has_work():
                started, cpu_started = time.perf_counter(), time.process_time()
                outputs = self._engine.step()
                run.note(outputs, time.perf_counter() - started, time.process_time() - cpu_started)
        return run

    def guesses(self) -> tuple[int, int]:
        """How many were made, and how many were right, so far."""
        stats = self._engine.stats()
        return stats.drafts_proposed, stats.drafts_accepted


def compare(options: argparse.Namespace) -> None:
    """Run all tasks in turns, print a table, and write JSON if asked to."""
    contestants = {
        name: Contestant(options.model, options.path, options.threads, name == WITH) for name in (WITH, WITHOUT)
    }
    results = Results((WITH, WITHOUT))
    for turn in range(options.rounds):
        for task, prompts, params, at_once in cases(options):
            order = (WITH, WITHOUT) if turn % 2 == 0 else (WITHOUT, WITH)
            runs = {name: contestants[name].answer(prompts, params, at_once) for name in order}
            if runs[WITH].answers != runs[WITHOUT].answers:
                raise SystemExit(f"{task}: the answers differ.")
            for name, run in runs.items():
                results.add(name, {f"{task}, tok/s": run.tokens / run.seconds})
                results.add(name, {f"{task}, tok/CPU s": run.tokens / run.cpu_seconds})
                results.add(name, {f"{task}, tokens a step": run.tokens / run.steps})
    proposed, accepted = contestants[WITH].guesses()
    print(results.table({}))
    print(f"{accepted:,} of {proposed:,} guesses were right. All answers are the same with guesses and without.")
    if options.json:
        write_json(options.json, results, guesses={"made": proposed, "right": accepted})


def cases(options: argparse.Namespace) -> Iterator[tuple[str, Sequence[str], SamplingParams, int]]:
    """Every task by its name: alone, and so many at once."""
    for at_once in options.at_once:
        for sampling, params in SAMPLINGS.items():
            for task, prompts in TASKS.items():
                name = f"{task}, {sampling}" + (f", {at_once} at once" if at_once > 1 else "")
                yield name, prompts, replace(params, max_tokens=options.tokens), at_once


@torch.inference_mode()
def measure_costs(options: argparse.Namespace) -> None:
    """Print what a step of so many rows costs, in steps of one row."""
    config = EngineConfig(dtype_path=options.path, threads=options.threads)
    computation = load_model(options.model, config).computation
    blocks = range(blocks_for(CONTEXT + max(ROWS)))
    prompt = StepInput(list(range(CONTEXT)), [Span(0, CONTEXT, blocks)], [])
    computation.model.forward(prompt, computation.cache)
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    for _ in range(20):
        for rows in ROWS:
            step = StepInput(list(range(rows)), [Span(CONTEXT, rows, blocks)], list(range(rows)))
            started = time.perf_counter()
            computation.model.forward(step, computation.cache)
            seconds[rows].append(time.perf_counter() - started)
    one = statistics.median(seconds[1])
    points = ", ".join(f"({rows}, {statistics.median(times) / one:.2f})" for rows, times in seconds.items())
    print(f"{computation.title}: {one * 1000:.1f} ms for one row; StepCost({points})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--path", choices=("fast", "eager", "reference"), default="fast")
    parser.add_argument("--threads", type=int, default=2, help="0: one per core")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128, help="of each answer, at most")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 4], help="how many answers are written at once")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--costs", action="store_true", help="what a step costs by its rows, and nothing else")
    options = parser.parse_args()
    (measure_costs if options.costs else compare)(options)


if __name__ == "__main__":
    main()
