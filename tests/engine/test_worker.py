"""The engine's thread from its first report to its last, above all how it comes to compute with compiled kernels."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from engine import loading, worker
from engine.computation import Computation, Plan, compute_eagerly
from engine.config import EngineConfig
from engine.errors import KernelsUnavailable, ModelLoadError
from engine.kernels.compiler import Patience
from engine.kernels.library import BackgroundBuild
from engine.llm_engine import LLMEngine
from engine.loader.gguf import GGUFFile
from engine.loader.weights import Progress
from engine.reports import Crashed, Measured, Ready
from engine.worker import EngineWorker
from tests.engine.watching import REQUEST, SECONDS, TOKENS, Watcher, running

STAND_IN = "what stands for the kernels"


@dataclass(slots=True)
class Building:
    """Stands for the compilers: the library is there, or cannot be, when the test says so."""

    error: Exception | None = None
    may_end: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    begun: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        """Let it end, and wait until everybody has been told."""
        assert self.begun.wait(SECONDS)
        self.may_end.set()
        for thread in threading.enumerate():
            if thread.name == "kernels":
                thread.join(SECONDS)

    def make(self, patience: Patience) -> Path:
        assert self.may_end.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return Path("kernels.so")


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Building:
    """The kernels are not built yet."""
    building = Building()
    background = BackgroundBuild(building.make)

    def start(done: Callable[[Path], None]) -> None:
        building.asked += 1
        background.start(done)
        building.begun.set()

    monkeypatch.setattr(loading, "find", lambda: None)
    monkeypatch.setattr(worker, "build_in_background", start)
    return building


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the kernels: the same model, computed by PyTorch's once more, and so to the same last bit."""

    def load_again(path: Path, config: EngineConfig, library: Path, progress: Progress) -> Computation:
        with GGUFFile.open(path) as file, torch.inference_mode():
            made = compute_eagerly(Plan.of(path.name, file, config), config, torch.device("cpu"), progress)
            return replace(made, title=STAND_IN)

    monkeypatch.setattr(loading, "load_native", load_again)


def answer(path: Path, **settings: object) -> Watcher:
    """The answer of an engine that nothing happens to."""
    with running(path, **settings) as (engine, watcher):
        engine.submit(REQUEST)
        watcher.until_finished()
    return watcher


def switch_in_mid_answer(engine: EngineWorker, watcher: Watcher, building: Building, title: str) -> None:
    """Have the kernels of that title ready when a quarter of the answer is there. Returns when all of it is."""
    watcher.hold_at = TOKENS // 4
    engine.submit(REQUEST)
    assert watcher.held.wait(SECONDS)
    building.end()
    watcher.may_go_on.set()
    watcher.until_computing(title)
    assert len(watcher.tokens) == watcher.made < TOKENS, "the switch comes before the next step"
    watcher.until_finished()


def test_the_first_answer_does_not_wait_for_the_kernels(tiny_model: Path, building: Building, stand_in: None) -> None:
    with running(tiny_model) as (engine, watcher):
        engine.submit(REQUEST)
        watcher.until_finished()
        assert len(watcher.tokens) == TOKENS
        building.may_end.set()
        watcher.until_computing(STAND_IN)
    assert building.asked == 1


def test_an_answer_goes_on_through_the_switch_as_if_nothing_had_happened(
    tiny_model: Path, building: Building, stand_in: None
) -> None:
    undisturbed = answer(tiny_model, dtype_path="eager")
    with running(tiny_model) as (engine, watcher):
        switch_in_mid_answer(engine, watcher, building, STAND_IN)
    assert watcher.tokens == undisturbed.tokens
    assert watcher.text == undisturbed.text


def test_an_answer_goes_on_with_the_kernels(
    tiny_model: Path, building: Building, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = loading.load_native
    monkeypatch.setattr(loading, "load_native", lambda path, config, _, check: native(path, config, kernels, check))
    with running(tiny_model) as (engine, watcher):
        switch_in_mid_answer(engine, watcher, building, "native kernels, ")
    assert len(watcher.tokens) == TOKENS
    before = TOKENS // 4
    assert watcher.tokens[:before] == answer(tiny_model, dtype_path="eager").tokens[:before]


def test_where_they_are_built_the_kernels_are_used_from_the_beginning(
    tiny_model: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "compute_eagerly", None)  # its weights are never made
    monkeypatch.setattr(worker, "build_in_background", None)
    with running(tiny_model) as (engine, watcher):
        watcher.until_computing("native kernels, ")
        engine.submit(REQUEST)
        watcher.until_finished()


@pytest.mark.parametrize("path", ["eager", "reference"])
def test_nothing_is_built_where_the_kernels_are_not_wanted(tiny_model: Path, building: Building, path: str) -> None:
    assert answer(tiny_model, dtype_path=path).finished
    assert building.asked == 0


def test_an_engine_whose_kernels_cannot_be_built_goes_on(
    tiny_model: Path, building: Building, caplog: pytest.LogCaptureFixture
) -> None:
    building.error = KernelsUnavailable("There is no C++ compiler here.")
    building.may_end.set()
    watcher = answer(tiny_model)
    measured = [report.stats for report in watcher.seen if isinstance(report, Measured)]
    assert all(stats.computing.startswith("PyTorch's kernels, ") for stats in measured)
    assert [record.levelno for record in caplog.records if "no C++ compiler" in record.getMessage()] == [
        logging.WARNING
    ]


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError("no kernel for this"), "cannot be used"), (ModelLoadError("Both do not fit."), "Both do not fit.")],
)
def test_an_engine_whose_kernels_cannot_be_used_goes_on(
    tiny_model: Path,
    building: Building,
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> Computation:
        raise error

    monkeypatch.setattr(loading, "load_native", fail)
    with running(tiny_model) as (engine, watcher):
        watcher.until(Ready)
        building.end()
        engine.submit(REQUEST)
        watcher.until_finished()
    assert said in caplog.text


def test_contexts_are_not_cut_in_mid_flight(
    tiny_model: Path, building: Building, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only a shorter context fits beside the model that is there, the engine keeps what it has."""
    shorter = loading.load_native
    monkeypatch.setattr(
        loading, "load_native", lambda path, config, *rest: shorter(path, replace(config, context_length=64), *rest)
    )
    with running(tiny_model) as (engine, watcher):
        watcher.until(Ready)
        building.end()
        engine.submit(REQUEST)
        watcher.until_finished()
    measured = [report.stats for report in watcher.seen if isinstance(report, Measured)]
    assert STAND_IN not in {stats.computing for stats in measured}


def test_an_engine_built_anew_asks_for_the_kernels_once(
    tiny_model: Path, building: Building, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tiny_model) as (engine, watcher):
        watcher.until(Ready)
        with monkeypatch.context() as broken:
            broken.setattr(LLMEngine, "step", None)
            engine.submit(REQUEST)
            watcher.until(Crashed)
        watcher.until(Ready)
        building.may_end.set()
        watcher.until_computing(STAND_IN)
        engine.submit(REQUEST)
        watcher.until_finished()
    assert building.asked == 1
    assert watcher.tokens == answer(tiny_model, dtype_path="eager").tokens


def test_an_engine_that_has_ended_is_not_loaded_again(
    tiny_model: Path,
    building: Building,
    kernels: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: list[BaseException | None] = []
    native = loading.load_native

    def load(path: Path, config: EngineConfig, _: Path, progress: Progress) -> Computation:
        try:
            return native(path, config, kernels, progress)
        except BaseException as error:
            ends.append(error)
            raise

    monkeypatch.setattr(loading, "load_native", load)
    with running(tiny_model) as (_, watcher):
        watcher.until(Ready)
    with caplog.at_level(logging.WARNING):
        building.end()
    assert [type(error).__name__ for error in ends] == ["_Stopped"]
    assert caplog.records == []
