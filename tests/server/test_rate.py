from __future__ import annotations

import pytest

from server.rate import TokenBucket
from tests.server.doubles import ManualClock


def test_a_burst_is_let_through_and_then_only_the_rate():
    clock = ManualClock()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert bucket.take() == pytest.approx(0.5)
    clock.advance(0.5)
    assert bucket.take() == 0
    assert bucket.take() > 0


def test_a_long_silence_saves_up_no_more_than_a_burst():
    clock = ManualClock()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    clock.advance(1000)
    assert [bucket.take() > 0 for _ in range(4)] == [False, False, False, True]
