"""The durations of an answer's parts."""

from __future__ import annotations

import time

import pytest

from backends.base import Done, Progress, Text, Timings, Usage
from server.ollama.stopwatch import Stopwatch

USAGE = Usage(prompt_tokens=9, completion_tokens=4)


class Hands:
    """Nanoseconds that pass when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 5_000
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


def test_what_a_backend_does_not_tell_is_taken_from_when_its_events_came(hands: Hands) -> None:
    watch = Stopwatch()
    for event, passed in [
        (Progress("queued", position=1), 0),
        (Progress("loading"), 100),
        (Progress("prefill"), 1_000),
        (Text("a"), 300),
        (Text("b"), 40),
    ]:
        hands.now += passed
        watch.see(event)
    hands.now += 2
    assert watch.metrics(Done("stop", USAGE)) == {
        "total_duration": 1442,
        "load_duration": 1100,
        "prompt_eval_count": 9,
        "prompt_eval_duration": 300,
        "eval_count": 4,
        "eval_duration": 42,
    }


def test_what_a_backend_measured_of_its_own_work_counts(hands: Hands) -> None:
    watch = Stopwatch()
    hands.now += 50_000_000
    watch.see(Text("a"))
    timings = Timings(queued_ms=1.5, ttft_ms=10.25, total_ms=40)
    assert watch.metrics(Done("stop", USAGE, timings)) == {
        "total_duration": 50_000_000,
        "load_duration": 1_500_000,
        "prompt_eval_count": 9,
        "prompt_eval_duration": 8_750_000,
        "eval_count": 4,
        "eval_duration": 29_750_000,
    }


@pytest.mark.parametrize("timings", [Timings(), Timings(queued_ms=90, ttft_ms=80, total_ms=70), Timings(ttft_ms=0)])
def test_parts_never_add_up_to_more_than_the_whole(hands: Hands, timings: Timings) -> None:
    watch = Stopwatch()
    hands.now += 1_000
    told = watch.metrics(Done("stop", USAGE, timings))
    parts = [told["load_duration"], told["prompt_eval_duration"], told["eval_duration"]]
    assert min(parts) >= 0
    assert sum(parts) <= told["total_duration"] == 1_000
