"""The library in this process: opened if it is the right one, built in the background once for all who ask."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import KernelsUnavailable
from engine.kernels import store
from engine.kernels.compiler import Patience
from engine.kernels.library import BackgroundBuild, open_library
from tests.engine.kernels.conftest import SECONDS, Workshop

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.usefixtures("needs_compiler")
def test_a_library_is_opened(workshop: Workshop) -> None:
    assert open_library(workshop.build()).answer() == 42


@pytest.mark.usefixtures("needs_compiler")
def test_a_library_under_a_wrong_name_is_refused_and_deleted(workshop: Workshop) -> None:
    path = workshop.build()
    foreign = path.with_name(path.name.replace("kernels-", "kernels-0"))
    foreign.write_bytes(path.read_bytes())
    with pytest.raises(KernelsUnavailable, match="made from other sources"):
        open_library(foreign)
    assert not foreign.exists()


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_what_is_no_library_is_refused_and_deleted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / store.library_name("0", "0")
    path.write_bytes(content)
    with pytest.raises(KernelsUnavailable, match="cannot be used"):
        open_library(path)
    assert not path.exists()


class Maker:
    """Stands for the compilers: makes a library, or fails, when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.may_end = threading.Event()
        self.calls = 0

    def __call__(self, patience: Patience) -> Path:
        self.calls += 1
        assert self.may_end.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return Path("kernels.so")


def test_all_who_ask_meanwhile_are_told_of_one_build() -> None:
    maker = Maker()
    told: list[tuple[int, Path]] = []
    all_told = threading.Event()
    building = BackgroundBuild(maker)
    for number in range(3):
        building.start(lambda path, number=number: told.append((number, path)))
    building.start(lambda path: all_told.set())
    assert told == [], "nobody waits for a build"
    maker.may_end.set()
    assert all_told.wait(SECONDS)
    assert told == [(number, Path("kernels.so")) for number in range(3)]
    assert maker.calls == 1


def test_one_who_cannot_use_it_does_not_keep_the_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker()
    maker.may_end.set()
    told = threading.Event()

    def broken(path: Path) -> None:
        raise RuntimeError("no")

    with caplog.at_level(logging.INFO):
        building = BackgroundBuild(maker)
        building.start(broken)
        building.start(lambda path: told.set())
        assert told.wait(SECONDS)
    assert "cannot be used; PyTorch's own go on" in caplog.text


@pytest.mark.parametrize("error", [KernelsUnavailable("There is no compiler."), ValueError("strange")])
def test_a_failed_build_is_told_once_and_not_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    maker = Maker(error)
    maker.may_end.set()
    building = BackgroundBuild(maker)
    with caplog.at_level(logging.WARNING):
        building.start(lambda path: pytest.fail("there is no library"))
        [thread] = [thread for thread in threading.enumerate() if thread.name == "kernels"] or [None]
        if thread is not None:
            thread.join(SECONDS)
        building.start(lambda path: pytest.fail("there is no library"))
    [record] = caplog.records
    assert record.getMessage().startswith("Staying on PyTorch's kernels, which are slower. ")
    assert str(error).rstrip(".") in record.getMessage()
    assert record.getMessage().endswith("python -m engine.kernels.build")
    assert maker.calls == 1


def test_a_process_ends_in_the_middle_of_a_build(workshop: Workshop, tmp_path: Path) -> None:
    """The compilers end with it, and nothing unfinished is left."""
    hung = tmp_path / "hung-c++"
    hung.write_text('#!/bin/sh\necho $$ > "$0.new" && mv "$0.new" "$0.pid"; sleep 1000\n')
    hung.chmod(0o755)
    code = f"""
import os, pathlib, time
os.environ["CXX"] = {str(hung)!r}
from engine.kernels import build
from engine.kernels.library import BackgroundBuild
folders, source = [pathlib.Path({str(workshop.folders[0])!r})], pathlib.Path({str(workshop.source)!r})
BackgroundBuild(lambda patience: build.build(folders, source, patience)).start(print)
while not os.path.exists({str(hung) + ".pid"!r}):
    time.sleep(0.005)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=SECONDS, check=True)
    assert result.stderr == b""
    pid = Path(f"{hung}.pid").read_text().strip()
    assert not Path(f"/proc/{pid}/cmdline").exists()
    assert [file.name for file in workshop.folders[0].iterdir()] == [".lock"]
