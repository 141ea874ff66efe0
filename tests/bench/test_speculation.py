"""The measuring of what guessing ahead gains, on a tiny model: the same answers, figures for both, what rows cost."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from bench import speculation as bench
from bench.speculation import Contestant, Run
from engine.output import StepOutput
from engine.sampling_params import SamplingParams


def started(monkeypatch: pytest.MonkeyPatch, model: Path, *options: str) -> None:
    monkeypatch.setattr(
        sys, "argv", ["speculation", "--model", str(model), "--path", "eager", "--threads", "1", *options]
    )
    bench.main()


def test_both_are_measured_on_every_task(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "figures.json"
    options = ("--rounds", "1", "--tokens", "8", "--at-once", "1", "3", "--json", str(written))
    started(monkeypatch, tiny_model, *options)
    medians = json.loads(written.read_text())["medians"]
    assert len(medians) == 3 * len(bench.TASKS) * len(bench.SAMPLINGS) * 2
    assert all(figures["with guesses"] > 0 and figures["without"] > 0 for figures in medians.values())
    assert "edit code, sampled, 3 at once, tokens a step" in capsys.readouterr().out


def test_what_rows_cost_is_printed_as_the_engine_takes_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started(monkeypatch, tiny_model, "--costs")
    assert re.search(r"StepCost\(\(1, 1\.00\), \(2, \d+\.\d\d\),.*\(32, \d+\.\d\d\)\)", capsys.readouterr().out)


def test_more_at_once_than_there_are_prompts_get_them_again(tiny_model: Path) -> None:
    run = Contestant(tiny_model, "eager", 1, speculation=True).answer(["a", "b"], SamplingParams(max_tokens=3), 5)
    assert len(run.answers) == 5


def test_steps_that_read_a_prompt_do_not_count() -> None:
    run = Run()
    run.note([StepOutput("a", new_token_ids=(1,))], 1.0, 1.0)
    run.note([StepOutput("a", new_token_ids=(2, 3)), StepOutput("b")], 1.0, 1.0)
    assert (run.steps, run.tokens) == (0, 0)
    run.note([StepOutput("a", new_token_ids=(4, 5, 6))], 1.0, 0.5)
    assert (run.steps, run.tokens, run.seconds, run.cpu_seconds) == (1, 3, 1.0, 0.5)
    assert run.answers["a"] == [1, 2, 3, 4, 5, 6]
