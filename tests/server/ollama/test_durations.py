"""Durations as Ollama's clients say them."""

from __future__ import annotations

import math

import pytest

from server.ollama.durations import seconds_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (300, 300),
        (1.5, 1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m".replace(" ", ""), 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("2us", 2e-6),
        ("3µs", 3e-6),
        ("+10s", 10),
        ("0", 0),
        (-1, math.inf),
        (-0.001, math.inf),
        ("-1", None),
        ("-1s", math.inf),
        ("-24h", math.inf),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_a_text_as_go_has_it(value: object, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="A unit is missing"):
            seconds_of(value)
    else:
        assert seconds_of(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "5", "5 m", "m", "5x", "1h-3m", "9" * 200 + "s", True, None, [], {}])
def test_anything_else_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        seconds_of(value)
