"""The proof by killing proves something: a difference of one character is seen, and the figures are as counted."""

from __future__ import annotations

import pytest

from bench.kill_tally import Tally, questions, show
from bench.kills import MOMENTS

WHOLE = "The keeper of the old lighthouse climbed the stairs each evening at six."


@pytest.mark.parametrize(
    ("text", "lost", "doubled", "changed"),
    [
        (WHOLE, 0, 0, 0),
        (WHOLE.replace("old ", ""), 4, 0, 0),
        (WHOLE.replace("stairs", "stairs stairs"), 0, 7, 0),
        (WHOLE.replace("six", "ten"), 0, 0, 3),
        (WHOLE[:30], len(WHOLE) - 30, 0, 0),
        ("", len(WHOLE), 0, 0),
    ],
    ids=["whole", "lost", "doubled", "changed", "cut", "nothing"],
)
def test_characters_that_differ_are_counted(text: str, lost: int, doubled: int, changed: int) -> None:
    tally = Tally()
    tally.compare(text, WHOLE)
    assert (tally.lost, tally.doubled, tally.changed) == (lost, doubled, changed)
    assert tally.clean is (text == WHOLE)


def test_a_difference_of_another_kind_is_not_clean_either() -> None:
    assert not Tally(differences=["The two clients do not show the same."]).clean


def test_the_figures_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(continued=3, back_s=[2.0, 1.0, 3.0])
    tally.kills.update(["streaming", "streaming", "ending"])
    show(tally)
    shown = capsys.readouterr().out
    assert "3   (2 streaming, 1 ending)" in shown
    assert "0 lost, 0 doubled, 0 changed" in shown
    assert "p50 2.0 s, p99 3.0 s" in shown


def test_every_moment_and_both_ways_to_sample_come_up() -> None:
    assert set(MOMENTS) == {"said", "acknowledged", "reading", "queued", "streaming", "continuing", "ending"}
    temperatures = [question.params["temperature"] for question in questions(10)]
    assert 0 in temperatures
    assert any(temperature != 0 for temperature in temperatures)
