"""An engine that breaks: who waits is told, and it is built anew, until that is of no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from engine.reports import Crashed, Ended, Failed, Measured, Ready, Report
from engine.worker import EngineWorker
from tests.engine.watching import REQUEST, Watcher, running


class Panic(BaseException):
    """What a library raises that does not think of others."""


def break_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, method: str = "step") -> None:
    def fail(*_: object, **__: object) -> list[StepOutput]:
        raise error

    monkeypatch.setattr(LLMEngine, method, fail)


def crash(engine: EngineWorker, watcher: Watcher) -> str:
    """Have it break. In what form the engine computed then."""
    watcher.until(Ready)
    measured = watcher.until(Measured)
    assert isinstance(measured, Measured)
    engine.submit(REQUEST)
    assert watcher.until(Crashed) == Crashed(["r"])
    return measured.stats.computing.split(",")[0]


def test_the_third_crash_within_a_minute_is_the_last(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tiny_model, dtype_path="eager") as (engine, watcher):
        break_with(RuntimeError("the tensors do not match"), monkeypatch)
        assert {crash(engine, watcher) for _ in range(3)} == {"PyTorch's kernels"}
        failed = watcher.until(Failed)
    assert isinstance(failed, Failed)
    assert "broke 3 times within a minute and stays down" in str(failed.error)


def test_crashes_far_apart_are_not_counted_together(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.worker.CRASH_WINDOW", 0.0)
    with running(tiny_model) as (engine, watcher):
        with monkeypatch.context() as broken:
            break_with(RuntimeError("the tensors do not match"), broken)
            for _ in range(4):
                crash(engine, watcher)
        watcher.until(Ready)
        engine.submit(REQUEST)
        watcher.until_finished()


def test_after_two_crashes_the_compiled_kernels_are_left_aside(
    tiny_model: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tiny_model) as (engine, watcher):
        with monkeypatch.context() as broken:
            break_with(RuntimeError("the kernels broke"), broken)
            assert [crash(engine, watcher) for _ in range(2)] == ["native kernels", "native kernels"]
        watcher.until_computing("PyTorch's kernels")
        engine.submit(REQUEST)
        watcher.until_finished()
    assert "without the compiled kernels" in caplog.text


@pytest.mark.parametrize("error", [Panic("at the disco"), SystemExit(1), MemoryError()], ids=lambda e: type(e).__name__)
def test_whatever_is_raised_the_thread_says_so_and_goes_on(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with running(tiny_model) as (engine, watcher):
        with monkeypatch.context() as broken:
            break_with(error, broken)
            crash(engine, watcher)
        watcher.until(Ready)
        engine.submit(REQUEST)
        watcher.until_finished()


def test_whatever_the_loading_raises_the_thread_says_that_it_is_gone(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_with(Panic("at the disco"), monkeypatch, "from_gguf")
    with running(tiny_model) as (_, watcher):
        failed = watcher.until(Failed)
    assert isinstance(failed, Failed)
    assert "cannot be loaded" in str(failed.error)


def test_a_request_that_breaks_the_engine_when_it_is_added_is_told_and_named_in_the_log(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tiny_model) as (engine, watcher):
        with monkeypatch.context() as broken:
            break_with(RuntimeError("out of blocks"), broken, "add_request")
            crash(engine, watcher)
        watcher.until(Ready)
        engine.submit(REQUEST)
        watcher.until_finished()
    assert f"The engine broke while answering {REQUEST.request_id}." in caplog.text
    assert "out of blocks" in caplog.text
    last: list[Report] = list(watcher.reports.queue)
    assert isinstance(last[-1], Ended)
