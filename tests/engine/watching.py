"""An engine's thread, and somebody who takes its reports and waits for some."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.config import EngineConfig
from engine.reports import Measured, Report, Request, Stepped
from engine.sampling_params import SamplingParams
from engine.worker import EngineWorker

SECONDS = 30.0  # more than anything here takes on a busy machine
TOKENS = 120
REQUEST = Request("r", tuple(range(30)), SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True))


@dataclass(slots=True)
class Watcher:
    """Takes the reports of an engine's thread and waits for some."""

    reports: queue.Queue[Report] = field(default_factory=queue.Queue)
    seen: list[Report] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finished: bool = False
    hold_at: int = TOKENS + 1  # when so many tokens are there, or a few more, the engine's thread waits
    made: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def report(self, report: Report) -> None:
        """What the engine's thread calls."""
        self.reports.put(report)
        if isinstance(report, Stepped) and not self.held.is_set():
            self.made += sum(len(output.new_token_ids) for output in report.outputs)
            if self.made >= self.hold_at:
                self.held.set()
                assert self.may_go_on.wait(SECONDS)

    def until(self, kind: type[Report]) -> Report:
        """The next report of that kind."""
        while not isinstance(report := self._next(), kind):
            pass
        return report

    def until_computing(self, beginning: str) -> None:
        """Until the engine computes in the form whose title begins so."""
        while not (isinstance(report := self._next(), Measured) and report.stats.computing.startswith(beginning)):
            pass

    def until_finished(self) -> None:
        while not self.finished:
            self._next()

    def _next(self) -> Report:
        report = self.reports.get(timeout=SECONDS)
        self.seen.append(report)
        for output in report.outputs if isinstance(report, Stepped) else ():
            assert not self.finished, "nothing comes after the end"
            self.tokens += output.new_token_ids
            self.text += output.text
            self.finished = output.finish_reason is not None
        return report


@contextmanager
def running(path: Path, **settings: object) -> Iterator[tuple[EngineWorker, Watcher]]:
    watcher = Watcher()
    engine = EngineWorker(path, EngineConfig(**{"threads": 1, "device": "cpu", **settings}), watcher.report)
    engine.start()
    try:
        yield engine, watcher
    finally:
        engine.stop()
        engine.join()
