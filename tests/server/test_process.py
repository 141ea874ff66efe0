from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from server.process import LEAVING_TIMEOUT_S, bind, connections_within

ROOT = Path(__file__).resolve().parent.parent.parent


class Process:
    """The small application as a process: what it says, where it is, how it ends."""

    def __init__(self) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.server.draining_server"],
            cwd=ROOT,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        self._reader = threading.Thread(target=self._read_log)
        self.url = self._find_url()
        self._reader.start()

    def send(self, sig: signal.Signals) -> None:
        self.popen.send_signal(sig)

    def get(self, path: str) -> int:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            status: int = answer.status
            return status

    def hears(self) -> str:
        """The next thing it says; empty when it has ended."""
        return _pipe(self.popen.stdout).readline().strip()

    def status(self) -> int:
        status = self.popen.wait(timeout=10)
        self._reader.join(10)
        return status

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self._reader.join(10)
        _pipe(self.popen.stdout).close()
        _pipe(self.popen.stderr).close()

    def _find_url(self) -> str:
        for line in _pipe(self.popen.stderr):
            self.log += line
            if found := re.search(r"listening on (http://[\d.]+:\d+)", line):
                return found[1]
        raise AssertionError(f"it did not start: {self.log}")

    def _read_log(self) -> None:
        for line in _pipe(self.popen.stderr):
            self.log += line


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    assert process.hears() == "up"
    yield process
    process.end()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_application_finish_while_it_still_answers(process: Process, sig: signal.Signals) -> None:
    process.send(sig)
    assert process.hears() == "draining"
    assert process.get("/finish") == 200
    assert [process.hears(), process.hears()] == ["drained", "closed"]
    assert process.status() == 0
    assert "finishing what is under way" in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_now(process: Process, sig: signal.Signals) -> None:
    process.send(sig)
    assert process.hears() == "draining"
    began = time.monotonic()
    process.send(sig)
    assert process.status() == 128 + sig
    assert time.monotonic() - began < 5


def test_a_second_signal_leaves_even_when_the_event_loop_is_stuck(process: Process) -> None:
    def stick() -> None:
        with suppress(OSError):  # it never answers
            process.get("/stick")

    stuck = threading.Thread(target=stick)
    stuck.start()
    assert process.hears() == "stuck"
    began = time.monotonic()
    process.send(signal.SIGTERM)
    process.send(signal.SIGINT)
    assert process.status() in (130, 143)
    assert time.monotonic() - began < LEAVING_TIMEOUT_S + 5
    stuck.join()


def test_a_drain_that_fails_ends_the_process_in_order_all_the_same(process: Process) -> None:
    process.send(signal.SIGTERM)
    assert process.hears() == "draining"
    process.get("/fail")
    assert process.hears() == "closed"
    assert process.status() == 0
    assert "the drain failed" in process.log


def test_a_signal_as_soon_as_it_says_where_it_listens_is_in_time() -> None:
    process = Process()
    process.send(signal.SIGINT)
    try:
        while (said := process.hears()) not in ("closed", ""):
            if said == "draining":
                process.get("/finish")
        assert process.status() == 0
        assert "Traceback" not in process.log
        assert "Warning" not in process.log
    finally:
        process.end()


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_ipv6_addresses_may_be_written_with_brackets() -> None:
    for host in ("::1", "[::1]"):
        with bind(host, 0) as listener:
            assert listener.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed", "raised"),
    [
        (1024, 4096, 500, 500, 1024),  # enough
        (1024, 65_536, 4096, 4096, 4096 + 256),  # more is asked for
        (1024, 2048, 4096, 2048 - 256, 2048),  # as much as there may be
        (64, 64, 4096, 32, 64),  # hardly anything
        (1024, resource.RLIM_INFINITY, 4096, 4096, 4096 + 256),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 4096, 4096, resource.RLIM_INFINITY),
    ],
)
def test_connections_leave_files_for_what_is_none(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int, raised: int
) -> None:
    limits = {"now": (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.update(now=pair))
    assert connections_within(wanted) == allowed
    assert limits["now"] == (raised, hard)
