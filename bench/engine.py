"""How fast the engine loads, reads and writes, without a server: `python -m bench.engine [--json] [--profile]`.

Medians of several tries; every prompt is new to the engine. The machine should be quiet: compute threads wait for each
other many times a step. `--profile` also tells where the time of a step goes, at one and at 16 sequences.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from itertools import count
from pathlib import Path

from bench.processes import build_kernels
from bench.prompts import Prompts
from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.loading import load_model
from engine.models.native import NativeLlama
from engine.sampling_params import SamplingParams

EMBEDDED = Path(__file__).resolve().parents[1] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
BATCHES = (1, 2, 4, 8, 16, 32)
PREFILLS = (128, 512, 2048)
PROMPT = 32  # tokens before the answers whose decoding is timed
PROFILED = (1, 16)


class EngineBench:
    """One engine, and prompts it has never seen."""

    def __init__(self, model: Path, config: EngineConfig) -> None:
        started = time.perf_counter()
        loaded = load_model(model, config)
        self.engine = LLMEngine(loaded, config)
        self.load_s = time.perf_counter() - started
        self._model = loaded.computation.model
        self._prompts = Prompts(model)
        self._numbers = count(1)

    def prefill(self, size: int, times: int = 3) -> float:
        """Tokens a second from a prompt of `size` tokens to its first token."""
        rates = []
        for _ in range(times):
            self._add(size, 1)
            started = time.perf_counter()
            while self.engine.has_work():
                self.engine.step()
            rates.append(size / (time.perf_counter() - started))
        return statistics.median(rates)

    def decode(self, batch: int, steps: int) -> float:
        """Tokens a second in sum while `batch` sequences decode."""
        self._begin(batch, steps)
        started, tokens = time.perf_counter(), 0
        while len(outputs := self.engine.step()) == batch:
            now = time.perf_counter()
            tokens += sum(len(output.new_token_ids) for output in outputs)
        self._finish()
        return tokens / (now - started)

    def profile(self, batch: int, steps: int) -> dict[str, float]:
        """Milliseconds that each part of a step takes while `batch` sequences decode, and the step as a whole."""
        self.decode(batch, steps)  # the engine's own averages forget what was before
        self._begin(batch, steps)
        before, took = self._parts(), []
        while self.engine.has_work():
            started = time.perf_counter()
            self.engine.step()
            took.append((time.perf_counter() - started) * 1000)
        inside = {f"model: {name}": (now - before[name]) / len(took) / 1e6 for name, now in self._parts().items()}
        return {**self.engine.stats().step_ms, **inside, "whole step": statistics.mean(took)}

    def _parts(self) -> dict[str, int]:
        """Nanoseconds that each part of the compiled model has taken so far; other models do not tell."""
        return self._model.nanoseconds if isinstance(self._model, NativeLlama) else {}

    def _begin(self, batch: int, steps: int) -> None:
        """Add `batch` prompts, and step until all of them have been read."""
        for _ in range(batch):
            self._add(PROMPT, steps)
        answering = 0
        while answering < batch:
            answering = sum(bool(output.new_token_ids) for output in self.engine.step())
        self.engine.step()

    def _finish(self) -> None:
        while self.engine.has_work():
            self.engine.step()

    def _add(self, size: int, max_tokens: int) -> None:
        number = next(self._numbers)
        params = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        self.engine.add_request(str(number), self._prompts.ids(size, number), params)


def peak_memory_mib() -> float:
    """The most memory that this process had in RAM."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(bench: EngineBench, steps: int) -> dict[str, float]:
    """All figures by name; the unit ends the name."""
    bench.prefill(16)  # once, to warm up
    figures = {"load, s": bench.load_s}
    for size in PREFILLS:
        figures[f"prefill {size}, tok/s"] = bench.prefill(size)
    for batch in BATCHES:
        figures[f"decode {batch}, tok/s"] = bench.decode(batch, steps)
    stats = bench.engine.stats()
    guessed = 100 * stats.drafts_accepted / stats.tokens_generated
    return figures | {"guessed tokens, %": guessed, "peak memory, MiB": peak_memory_mib()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--path", choices=("fast", "eager", "reference"), default="fast")
    parser.add_argument("--threads", type=int, default=2, help="0: one per core")
    parser.add_argument("--steps", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--no-speculation", action="store_true", help="do not guess ahead where a text repeats itself")
    parser.add_argument("--profile", action="store_true", help="where the time of a step goes, and nothing else")
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args()
    build_kernels()
    config = EngineConfig(
        dtype_path=options.path,
        threads=options.threads,
        max_batch_size=max(BATCHES),
        speculation=not options.no_speculation,
    )
    bench = EngineBench(options.model, config)
    if options.profile:
        figures = {
            f"{batch} at once: {part}, ms": value
            for batch in PROFILED
            for part, value in bench.profile(batch, options.steps).items()
        }
    else:
        figures = measure(bench, options.steps)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:10,.2f}")


if __name__ == "__main__":
    main()
