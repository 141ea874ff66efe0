"""llama.cpp from the wheel `xllamacpp`: its server, and the same without HTTP.

    python -m bench.llama_cpp MODEL [--slots N] [--context TOKENS]   serves until told to stop
    python -m bench.llama_cpp MODEL --measure                        measures in the process, prints JSON

The options are those that its users are advised to take: as many slots as sequences, one cache for all of them,
continuous batching, flash attention where it helps, and its own sizes of batches.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from bench.prompts import Prompts
from bench.servers import THREADS

BATCHES = (1, 4, 16)
PREFILLS = (512,)
STEPS = 48


def start(model: Path, slots: int, context: int, *, verbose: bool = False) -> Any:
    """A running server with `slots` sequences of `context` tokens each."""
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = slots
    params.n_ctx = slots * context
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.cache_ram_mib = 0  # its second cache of prompts, beside that of the slots, costs copies and is not needed
    params.port = 0
    params.verbosity = 5 if verbose else 2
    return xllamacpp.Server(params)


def measure(model: Path) -> dict[str, float]:
    """Decoding and prefill, called directly."""
    prompts, figures = Prompts(model), {}
    for batch in BATCHES:
        server = start(model, batch, 1024)
        figures[f"decode {batch}, tok/s"] = _decode(server, [prompts.ids(32, number) for number in range(batch)])
    server = start(model, 1, 4096)
    for size in PREFILLS:
        rates = [size / _stream(server, prompts.ids(size, 100 + number), 1)[1] for number in range(3)]
        figures[f"prefill {size}, tok/s"] = statistics.median(rates)
    return figures


def _decode(server: Any, prompts: Sequence[list[int]]) -> float:
    """Tokens a second in sum, while all of `prompts` are answered."""
    times: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda ids=prompt: times.append(_stream(server, ids, STEPS)[0])) for prompt in prompts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    start, end = max(answer[0] for answer in times), min(answer[-1] for answer in times)
    return sum(start < moment <= end for answer in times for moment in answer) / (end - start)


def _stream(server: Any, ids: list[int], tokens: int) -> tuple[list[float], float]:
    """When each token came, and seconds from the request to the first."""
    times: list[float] = []

    def note(piece: object) -> bool:
        del piece
        times.append(time.perf_counter())
        return False  # go on

    sent = time.perf_counter()
    server.handle_completions(
        {"prompt": ids, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "stream": True}, note
    )
    return times, times[0] - sent


def main() -> None:
    """Serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="let it tell all about itself")
    options = parser.parse_args()
    print(xllamacpp.get_system_info(), flush=True)
    if options.measure:
        print(json.dumps(measure(options.model)))
        return
    server = start(options.model, options.slots, options.context, verbose=options.verbose)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
