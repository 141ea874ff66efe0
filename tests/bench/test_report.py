"""Percentiles, medians, ratios and the table that they are shown in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.report import Results, percentile, write_json


def results() -> Results:
    found = Results(("ours", "theirs"))
    for ours, theirs in ((90.0, 50.0), (100.0, 40.0), (300.0, 60.0)):
        found.add("ours", {"decode 1, tok/s": ours, "first token, ms": ours / 10})
        found.add("theirs", {"decode 1, tok/s": theirs, "first token, ms": theirs})
    found.add("ours", {"peak memory, MiB": 1234.0})
    return found


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (75, 3), (76, 4), (99, 4), (100, 4), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_rounds_are_summed_up_by_their_median() -> None:
    assert results().median("decode 1, tok/s", "ours") == 100
    assert results().ratio("decode 1, tok/s", "theirs") == 2
    assert results().median("peak memory, MiB", "theirs") is None
    assert results().ratio("peak memory, MiB", "theirs") is None


def test_a_goal_is_met_from_above_by_a_rate_and_from_below_by_a_time() -> None:
    table = results().table({"decode 1, tok/s": (2.5,), "first token, ms": (0.5,)})
    assert "2.00 (missed: 2.5)" in table
    assert "0.20 (met: 0.5)" in table


def test_the_table_is_markdown_with_columns_that_stand_under_each_other() -> None:
    lines = results().table({}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == ["", "ours", "theirs", "ratio to theirs"]
    assert set(lines[1]) <= set("|-: ")
    assert [cell.strip() for cell in lines[-1].strip("|").split("|")] == ["peak memory, MiB", "1,234", "", ""]


def test_the_file_holds_every_round_and_what_came_of_them(tmp_path: Path) -> None:
    write_json(tmp_path / "it.json", results(), limits={"read": 1})
    written = json.loads((tmp_path / "it.json").read_text())
    assert written["rounds"]["decode 1, tok/s"]["theirs"] == [50, 40, 60]
    assert written["medians"]["decode 1, tok/s"] == {"ours": 100, "theirs": 50}
    assert written["ratios"]["decode 1, tok/s"] == {"theirs": 2}
    assert written["limits"] == {"read": 1}
    assert written["machine"]["cores"] >= 1
