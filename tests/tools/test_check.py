"""check.sh with a Python that only writes down what it was asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check.sh"
RECORDER = """#!/bin/sh
echo "$*"
case "$*" in *"{fails}"*) exit 3 ;; esac
"""

RETRYING = """#!/bin/sh
echo "$*"
case "$*" in
    *--last-failed*) exit {alone} ;;
    *"tests/server tests"*) exit 1 ;;
esac
"""


def check(folder: Path, fails: str, *arguments: str) -> tuple[int, list[str]]:
    """Exit status and the commands that Python was given."""
    python = folder / "python"
    python.write_text(RECORDER.format(fails=fails))
    python.chmod(0o755)
    result = subprocess.run(["sh", SCRIPT, python, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, [line for line in result.stdout.splitlines() if line.startswith("-m")]


def test_every_check_runs_and_pytest_is_last(tmp_path: Path) -> None:
    status, commands = check(tmp_path, "nothing fails", "-k", "one")
    assert status == 0
    assert [command.split()[1] for command in commands] == ["ruff", "ruff", "mypy", "pytest"]
    assert commands[-1].endswith("-k one")


def test_without_arguments_the_tests_run_in_three_parts_that_miss_none(tmp_path: Path) -> None:
    status, commands = check(tmp_path, "nothing fails")
    assert status == 0
    here, *beside = (command.split() for command in commands[-3:])
    folders = [word for command in beside for word in command if word.startswith("tests/")]
    assert all(any(word.startswith("tests/") for word in command) for command in beside)
    assert [f"--ignore={folder}" for folder in folders] == [word for word in here if word.startswith("--ignore")]
    assert all((SCRIPT.parents[1] / folder).is_dir() for folder in folders)


@pytest.mark.parametrize("part", ["tests/engine tests", "tests/server tests", "--ignore"])
def test_a_failure_in_any_part_is_one_of_the_whole(tmp_path: Path, part: str) -> None:
    status, commands = check(tmp_path, part)
    assert status == 3
    assert len([command for command in commands if "pytest" in command]) == 3, "The others are told all the same."


def test_what_failed_beside_the_others_has_to_pass_alone(tmp_path: Path) -> None:
    for alone, wanted in (0, 0), (1, 1):
        python = tmp_path / f"python{alone}"
        python.write_text(RETRYING.format(alone=alone))
        python.chmod(0o755)
        result = subprocess.run(["sh", SCRIPT, python], capture_output=True, text=True, check=False)
        again = [line for line in result.stdout.splitlines() if "--last-failed" in line]
        assert (result.returncode, len(again)) == (wanted, 1)
        assert again[0].endswith("tests/server tests/faults tests/terminal")
        assert "SOME TESTS FAILED" in result.stdout


@pytest.mark.parametrize("step", ["ruff check", "ruff format", "mypy", "pytest"])
def test_a_failure_ends_it(tmp_path: Path, step: str) -> None:
    status, commands = check(tmp_path, step, "-q")
    assert status == 3
    assert step in commands[-1]
