"""Drift: a leak shows, noise and warming up do not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bench.drift import Sample, draw, drift_percent


def test_a_steady_level_has_no_drift_however_it_warms_up_and_trembles() -> None:
    chance = random.Random(1)
    values = [20.0 + 2 * number for number in range(20)] + [60 + chance.uniform(-1, 1) for _ in range(80)]
    assert abs(drift_percent(values)) < 1


def test_a_leak_shows_as_what_it_takes_in_percent_of_the_level() -> None:
    values = [50.0] * 20 + [100 + 0.1 * number for number in range(80)]
    assert drift_percent(values) == pytest.approx(7.9 / 103.95 * 100)


def test_what_shrinks_drifts_downwards() -> None:
    assert drift_percent([100.0 - number for number in range(50)]) < -20


def test_one_high_sample_is_no_drift() -> None:
    values = [100.0] * 99 + [130.0]
    assert 0 < drift_percent(values) < 2.5


def test_two_samples_are_the_least() -> None:
    with pytest.raises(ValueError, match="at least two"):
        drift_percent([1.0])


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    samples = [Sample(number, 1000 * number, 10 * number, 70.0, 60.0, 15, 6) for number in range(1, 11)]
    draw(samples, "a title", tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
