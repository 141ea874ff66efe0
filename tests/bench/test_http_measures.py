"""What is measured over HTTP, against the real server with a backend that repeats what it is told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from bench import http_measures
from bench.client import Answer
from bench.prompts import Arrival
from bench.servers import Server


@pytest.fixture
def server(serve: Callable[..., str]) -> Iterator[Server]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    yield Server(process, serve(), [], {})
    process.communicate()


def test_decoding_is_counted_while_all_are_being_answered(server: Server) -> None:
    words = "one two three four five six seven eight nine ten " * 200  # long enough for both to be under way at once
    assert asyncio.run(http_measures.decode(server, [words, words], 1_900)) > 0


def test_a_prompt_is_read_at_some_rate(server: Server) -> None:
    assert asyncio.run(http_measures.prefill(server, "one two three")) > 0


def test_a_conversation_has_six_turns(server: Server) -> None:
    waits = asyncio.run(http_measures.conversation(server, 1, 4))
    assert len(waits) == 6
    assert min(waits) > 0


def test_a_mixed_load_is_summed_up(server: Server) -> None:
    arrivals = [Arrival(0.01 * number, f"{number} two three four", 4) for number in range(5)]
    figures = asyncio.run(http_measures.mixed_load(server, arrivals, "load:"))
    assert figures["load: goodput, %"] == 100, "A backend that only repeats is fast enough for everybody."
    assert figures["load: first token p50, ms"] <= figures["load: first token p99, ms"]


@pytest.mark.parametrize(
    ("times", "good"),
    [((0.5, 0.6, 0.7), True), ((1.5, 1.6, 1.7), False), ((0.5, 0.6, 0.9), False), ((0.5,), True)],
    ids=["quick", "late to begin", "with a pause", "one piece"],
)
def test_an_answer_is_good_when_nobody_would_complain(times: tuple[float, ...], good: bool) -> None:
    answer = Answer(0.0, times, ("a",) * len(times), times[-1], prompt_tokens=1, completion_tokens=len(times))
    assert http_measures.is_good(answer) is good


def test_a_server_that_is_asleep_does_nothing(server: Server) -> None:
    assert server.peak_memory_mib() > 0
    with server.asleep():
        server.process.stdin.write("\n")
        server.process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.3)
    assert server.process.wait(10) == 0
