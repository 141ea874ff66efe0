"""Switchboard beside llama.cpp, on the same weights, in one run: `python -m bench.peer [--short]`.

Three columns: Switchboard and llama.cpp on the embedded Q4_1 file, and llama.cpp on a Q4_0 form of the same weights,
its fastest. All over HTTP, greedy, with two threads, taking turns in every round; a server that is not being measured
gets no processor time. llama.cpp gets a fresh server with just as many slots as sequences for every measure;
Switchboard has one server for all. Then the engines without HTTP, and the machine's limits. Prints a table, and writes
a JSON file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import http_measures
from bench.client import complete
from bench.limits import table as limits_table
from bench.make_q4_0 import SOURCE, TARGET, make_q4_0
from bench.processes import build_kernels, run_python, say
from bench.prompts import Prompts
from bench.report import Results, write_json
from bench.servers import ROOT, Server, llama_cpp, switchboard

OURS, SAME_FILE, BEST_FORM = "Switchboard", "llama.cpp Q4_1", "llama.cpp Q4_0"
COLUMNS = (OURS, SAME_FILE, BEST_FORM)
GOALS = {
    "decode 1, tok/s": (2.3, 1.2),
    "decode 16, tok/s": (4, 2),
    "prefill 512, tok/s": (4, 1.4),
    **{f"turn {turn} first token, ms": (0.5, 0.5) for turn in range(2, 7)},
}
SLOTS = 32  # of our one server

Figures = dict[str, float]


@dataclass(slots=True, frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    batches: tuple[int, ...]
    prefills: tuple[int, ...]
    rates: tuple[float, ...]  # requests a second of the mixed load
    mixed_s: float
    tokens: int  # of each answer


FULL = Plan(3, (1, 2, 4, 8, 16, 32), (128, 512, 2048), (1.0, 3.0), 10, 64)
SHORT = Plan(2, (1, 4, 16), (512,), (2.0,), 6, 48)


@dataclass(slots=True, frozen=True)
class Task:
    """One thing to measure, and what a server needs for it. `measure` is told which round it is."""

    slots: int
    context: int
    measure: Callable[[Server, int], Awaitable[Figures]]


def tasks(plan: Plan, prompts: Prompts) -> Iterator[Task]:
    """Everything that is measured over HTTP. No two rounds use the same text."""
    for batch in plan.batches:

        async def decode(server: Server, turn: int, batch: int = batch) -> Figures:
            texts = http_measures.decode_prompts(prompts, batch, 10_000 * (turn + 1) + 100 * batch)
            return {f"decode {batch}, tok/s": await http_measures.decode(server, texts, plan.tokens)}

        yield Task(batch, 1024, decode)

    async def prefill(server: Server, turn: int) -> Figures:
        return {
            f"prefill {size}, tok/s": await http_measures.prefill(server, prompts.of_length(size, size + turn))
            for size in plan.prefills
        }

    async def conversation(server: Server, turn: int) -> Figures:
        waits = await http_measures.conversation(server, turn, plan.tokens)
        return {f"turn {place} first token, ms": wait for place, wait in enumerate(waits, 1)}

    yield Task(1, 4096, prefill)
    yield Task(1, 4096, conversation)
    for rate in plan.rates:

        async def mixed(server: Server, turn: int, rate: float = rate) -> Figures:
            arrivals = list(prompts.poisson(rate, plan.mixed_s, turn))
            return await http_measures.mixed_load(server, arrivals, f"{rate:g} requests/s:")

        yield Task(16, 1024, mixed)


class Contest:
    """The servers that are compared, and who is measured when."""

    def __init__(self, plan: Plan, prompts: Prompts, binary: Path | None, settings: Mapping[str, str]) -> None:
        self.results = Results(COLUMNS)
        self.peers: dict[str, Any] = {}
        self.engine: dict[str, Any] = {}  # what our server said of itself at the end
        self._plan, self._prompts, self._binary, self._settings = plan, prompts, binary, settings

    def over_http(self) -> None:
        """Run all rounds."""
        with switchboard(SOURCE, SLOTS, self._settings) as ours:
            for turn in range(self._plan.rounds):
                for task in tasks(self._plan, self._prompts):
                    for column in COLUMNS:
                        with self._server(column, ours, task) as server:
                            figures = asyncio.run(self._measure(server, task, turn))
                        self.results.add(column, figures)
                        say(f"round {turn + 1}, {column}: {_short(figures)}")
            self.results.add(OURS, {"server's peak memory, MiB": ours.peak_memory_mib()})
            self.engine = ours.get("/api/engine")["engines"][0]

    def in_process(self) -> None:
        """Both engines called directly, each in a process of its own."""
        for _ in range(min(2, self._plan.rounds)):
            self._direct(OURS, "-m", "bench.engine", "--json", "--no-speculation")
            if self._binary is not None:
                continue  # the wheel is another build than the one that is compared with here
            for column, path in ((SAME_FILE, SOURCE), (BEST_FORM, TARGET)):
                self._direct(column, "-m", "bench.llama_cpp", str(path), "--measure")

    def describe_peers(self) -> None:
        """What llama.cpp says of itself and of how it keeps each file, once."""
        for column, path in ((SAME_FILE, SOURCE), (BEST_FORM, TARGET)):
            with llama_cpp(path, 1, 512, self._binary, verbose=True) as server:
                features = next(
                    (
                        line[line.find("CPU") :].strip()
                        for line in server.said
                        if "AVX2 = 1" in line or "NEON = 1" in line
                    ),
                    "?",
                )
                repacked = sum("repack tensor" in line for line in server.said)
            self.peers[column] = {"features": features, "tensors repacked": repacked}
            say(f"{column}: {repacked} tensors repacked; {features}")

    @contextmanager
    def _server(self, column: str, ours: Server, task: Task) -> Iterator[Server]:
        if column == OURS:
            yield ours
            return
        path = SOURCE if column == SAME_FILE else TARGET
        with ours.asleep(), llama_cpp(path, task.slots, task.context, self._binary) as peer:
            yield peer

    async def _measure(self, server: Server, task: Task, turn: int) -> Figures:
        await complete(server.address, "Once upon a time", 8, server.extra)  # wakes threads and touches memory
        return await task.measure(server, turn)

    def _direct(self, column: str, *arguments: str) -> None:
        printed = run_python(*arguments)
        figures = {f"in process: {name}": value for name, value in json.loads(printed.splitlines()[-1]).items()}
        self.results.add(column, figures)
        say(f"in process, {column}: {_short(figures)}")


def reached(results: Results) -> dict[str, float]:
    """What our engine reaches, without HTTP where that was measured."""
    names = {name: f"in process: {name}" for name in results.figures}
    found = {name: results.median(direct, OURS) or results.median(name, OURS) for name, direct in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def _short(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer sizes and rounds, about 3 minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmark_peer.json")
    parser.add_argument(
        "--llama-server", type=Path, help="one built for this processor, instead of the wheel xllamacpp"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of Switchboard")
    options = parser.parse_args()
    began = time.monotonic()
    plan = SHORT if options.short else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds)
    if not TARGET.exists():
        make_q4_0(SOURCE, TARGET)
    build_kernels()
    contest = Contest(plan, Prompts(SOURCE), options.llama_server, dict(pair.split("=", 1) for pair in options.set))
    contest.describe_peers()
    contest.over_http()
    contest.in_process()
    limits = json.loads(run_python("-m", "bench.limits", "--json"))
    print(contest.results.table(GOALS))
    print(limits_table(reached(contest.results), limits["ceilings"]))
    write_json(
        options.out, contest.results, limits=limits, peers=contest.peers, engine=contest.engine, plan=asdict(plan)
    )
    say(f"{options.out}, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
