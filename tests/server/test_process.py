from __future__ import annotations

import resource
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from server.process import LEAVING_TIMEOUT_S, bind, connections_within
from tests.server.program import Program, running


@pytest.fixture
def process() -> Iterator[Program]:
    with running("-m", "tests.server.draining_server", PYTHONWARNINGS="error") as program:
        assert program.hears() == "up"
        yield program


def get(process: Program, path: str) -> int:
    with urllib.request.urlopen(process.url + path, timeout=10) as answer:
        status: int = answer.status
        return status


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_application_finish_while_it_still_answers(process: Program, sig: signal.Signals) -> None:
    process.send(sig)
    assert process.hears() == "draining"
    assert get(process, "/finish") == 200
    assert [process.hears(), process.hears()] == ["drained", "closed"]
    assert process.status() == 0
    assert process.lines("finishing what is under way")
    assert not process.lines("Traceback")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_now(process: Program, sig: signal.Signals) -> None:
    process.send(sig)
    assert process.hears() == "draining"
    began = time.monotonic()
    process.send(sig)
    assert process.status() == 128 + sig
    assert time.monotonic() - began < 5


def test_a_second_signal_leaves_even_when_the_event_loop_is_stuck(process: Program) -> None:
    def stick() -> None:
        with suppress(OSError):  # it never answers
            get(process, "/stick")

    stuck = threading.Thread(target=stick)
    stuck.start()
    assert process.hears() == "stuck"
    began = time.monotonic()
    process.send(signal.SIGTERM)
    process.send(signal.SIGINT)
    assert process.status() in (130, 143)
    assert time.monotonic() - began < LEAVING_TIMEOUT_S + 5
    stuck.join()


def test_a_drain_that_fails_ends_the_process_in_order_all_the_same(process: Program) -> None:
    process.send(signal.SIGTERM)
    assert process.hears() == "draining"
    get(process, "/fail")
    assert process.hears() == "closed"
    assert process.status() == 0
    assert process.lines("the drain failed")


def test_a_signal_as_soon_as_it_says_where_it_listens_is_in_time() -> None:
    with running("-m", "tests.server.draining_server", PYTHONWARNINGS="error") as process:
        process.send(signal.SIGINT)
        while (said := process.hears()) not in ("closed", ""):
            if said == "draining":
                get(process, "/finish")
        assert process.status() == 0
        assert not process.lines("Traceback")
        assert not process.lines("Warning")


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
