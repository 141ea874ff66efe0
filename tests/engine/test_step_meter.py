"""What a step's parts take and how many tokens come out a second."""

from __future__ import annotations

import pytest

from engine.step_meter import WINDOW, StepMeter


class Clock:
    """Time as the test tells it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def step(meter: StepMeter, clock: Clock, seconds: float, tokens: int) -> None:
    meter.begin()
    clock.now += seconds
    meter.done("model")
    meter.count(tokens)


def test_the_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    meter = StepMeter(clock)
    assert meter.tokens_per_second is None
    for _ in range(10):
        step(meter, clock, 0.1, 4)
    assert meter.tokens_per_second == pytest.approx(40)
    for _ in range(100):
        step(meter, clock, 0.1, 1)
    assert meter.tokens_per_second == pytest.approx(10, rel=0.05), "what is long ago still counts"


def test_an_engine_that_rests_has_no_rate(clock: Clock) -> None:
    meter = StepMeter(clock)
    step(meter, clock, 0.1, 4)
    clock.now += WINDOW
    assert meter.tokens_per_second is None


def test_the_parts_of_a_step_are_averaged(clock: Clock) -> None:
    meter = StepMeter(clock)
    meter.begin()
    for part, seconds in (("schedule", 0.001), ("model", 0.01)):
        clock.now += seconds
        meter.done(part)
    assert meter.milliseconds == pytest.approx({"schedule": 1, "model": 10})
    for _ in range(200):
        step(meter, clock, 0.02, 1)
    assert meter.milliseconds["model"] == pytest.approx(20, rel=0.01)
