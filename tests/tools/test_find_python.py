from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "find_python.sh"
GOOD = f'exec "{sys.executable}" "$@"'
NOT_THERE = "echo no such version >&2; exit 127"  # what a version manager leaves behind
OLD = "exit 1"
WITHOUT_VENV = f'case "$2" in *ensurepip*) exit 1;; esac; exec "{sys.executable}" "$@"'


def find(folder: Path, programs: dict[str, str]) -> tuple[int, str, str]:
    """Exit status, output and errors of the script on a machine that has these programs."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    command = [shutil.which("sh") or "sh", str(SCRIPT)]
    result = subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.strip(), result.stderr


def test_the_newest_is_taken(tmp_path: Path) -> None:
    found = find(tmp_path, {"python3.13": GOOD, "python3.11": GOOD, "python3": GOOD})
    assert found == (0, str(tmp_path / "python3.13"), "")


def test_what_does_not_run_or_is_too_old_is_passed_over(tmp_path: Path) -> None:
    found = find(tmp_path, {"python3.13": NOT_THERE, "python3.12": NOT_THERE, "python3.11": OLD, "python3": GOOD})
    assert found == (0, str(tmp_path / "python3"), "")


def test_one_that_can_make_environments_is_preferred(tmp_path: Path) -> None:
    found = find(tmp_path, {"python3.13": WITHOUT_VENV, "python3.12": GOOD})
    assert found == (0, str(tmp_path / "python3.12"), "")


def test_a_missing_venv_is_named_with_its_package(tmp_path: Path) -> None:
    status, output, errors = find(tmp_path, {"python3": WITHOUT_VENV})
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (status, output) == (1, "")
    assert (
        errors
        == f"python3 cannot make virtual environments. Install that part: sudo apt-get install python{version}-venv\n"
    )


def test_a_missing_python_is_named_with_its_package(tmp_path: Path) -> None:
    status, output, errors = find(tmp_path, {"python3": OLD})
    assert (status, output) == (1, "")
    assert "needs Python 3.11 or newer. Install it: sudo apt-get install python3 python3-venv" in errors
