"""How fast the engine loads, reads and writes: `python -m bench.engine --help`.

Prints medians. The machine should be quiet: compute threads wait for each other many times a step.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams

EMBEDDED = Path(__file__).resolve().parents[1] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
BATCHES = (1, 4, 8, 16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--path", choices=("fast", "reference"), default="fast")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--steps", type=int, default=48, help="decoding steps to time")
    options = parser.parse_args()
    started = time.perf_counter()
    config = EngineConfig(dtype_path=options.path, threads=options.threads, max_batch_size=max(BATCHES))
    engine = LLMEngine.from_gguf(options.model, config=config)
    print(f"load             {time.perf_counter() - started:8.2f} s")
    prefill(engine, 16)  # once, to warm up
    for size in (64, 512):
        print(f"prefill {size:4d}     {size / prefill(engine, size):8.0f} tokens/s")
    for batch in BATCHES:
        seconds = decode(engine, batch, options.steps)
        print(f"decode {batch:3d} at once {batch / seconds:8.0f} tokens/s   {seconds * 1000:6.1f} ms a step")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    print(f"peak memory      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:8.0f} MiB")


def prefill(engine: LLMEngine, size: int, times: int = 3) -> float:
    """Seconds from a prompt of `size` tokens to its first token."""
    seconds = []
    for _ in range(times):
        engine.add_request("prefill", _prompt(engine, size), SamplingParams(temperature=0, max_tokens=1))
        started = time.perf_counter()
        while engine.has_work():
            engine.step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def decode(engine: LLMEngine, batch: int, steps: int) -> float:
    """Seconds a step while `batch` sequences decode, each with 64 tokens before it."""
    params = SamplingParams(temperature=0, max_tokens=steps + 2, ignore_eos=True)
    for number in range(batch):
        engine.add_request(str(number), _prompt(engine, 64), params)
    seconds = []
    while engine.has_work():
        started = time.perf_counter()
        outputs = engine.step()
        if all(output.new_token_ids for output in outputs) and len(outputs) == batch:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _prompt(engine: LLMEngine, size: int) -> list[int]:
    return [17 * place % engine.tokenizer.vocab_size for place in range(1, size + 1)]


if __name__ == "__main__":
    main()
