"""The Makefile with a Python that only writes down what it was asked for: what is done again, and what is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORDER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in *"$FAILS"*) exit 1 ;; esac
[ "$*" != "-m venv --clear .venv" ] || { mkdir -p .venv/bin && cp "$0" .venv/bin/python; }
"""


class Project:
    """A folder with the Makefile in it, and the calls that its Python got."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("requirements.txt", "requirements-test.txt"):
            (folder / name).write_text("")
        self.python = folder / "recorder"
        self.python.write_text(RECORDER)
        self.python.chmod(0o755)

    def make(self, target: str, fails: str = "nothing fails") -> tuple[int, list[str], str]:
        """Exit status, the calls of Python, and what was printed."""
        calls = self.folder / "calls"
        calls.write_text("")
        result = subprocess.run(
            ["make", "--no-print-directory", target, f"PYTHON={self.python}"],
            cwd=self.folder,
            env={**os.environ, "CALLS": str(calls), "FAILS": fails},
            capture_output=True,
            text=True,
            check=False,
        )
        return result.returncode, calls.read_text().splitlines(), result.stdout + result.stderr

    def age(self, *paths: str) -> None:
        """Make everything look an hour old, except `paths`."""
        for path in self.folder.rglob("*"):
            age = 0 if path.relative_to(self.folder).as_posix() in paths else 3600
            os.utime(path, (time.time() - age,) * 2)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_first_start_installs_fetches_and_serves(project: Project) -> None:
    status, calls, _ = project.make("serve")
    assert status == 0
    assert calls == [
        "-m venv --clear .venv",
        "-m pip install --quiet --disable-pip-version-check pip>=23.3",
        "-m tools.install_torch",
        "-m pip install --quiet --disable-pip-version-check -r requirements.txt",
        "-m tools.fetch_model",
        "app.py",
    ]


def test_the_second_start_installs_nothing(project: Project) -> None:
    project.make("serve")
    _, calls, printed = project.make("serve")
    assert calls == ["-m tools.fetch_model", "app.py"]
    assert printed == ""


def test_other_requirements_are_installed(project: Project) -> None:
    project.make("serve")
    project.age("requirements.txt")
    _, calls, _ = project.make("serve")
    assert [call for call in calls if "pip install" in call]
    assert not [call for call in calls if "venv" in call]


@pytest.mark.parametrize("step", ["venv", "pip>=23.3", "tools.install_torch", "-r requirements.txt"])
def test_a_step_that_failed_is_done_again(project: Project, step: str) -> None:
    status, calls, _ = project.make("serve", fails=step)
    assert status != 0
    assert step in calls[-1]
    status, calls, _ = project.make("serve")
    assert status == 0
    assert any(step in call for call in calls)
    assert calls[-1] == "app.py"


def test_without_the_model_the_server_starts_all_the_same(project: Project) -> None:
    status, calls, printed = project.make("serve", fails="tools.fetch_model")
    assert status == 0
    assert calls[-1] == "app.py"
    assert "The server starts without the embedded model" in printed


def test_a_server_that_cannot_start_fails_the_command(project: Project) -> None:
    assert project.make("serve", fails="app.py")[0] != 0


def test_without_a_python_it_says_what_to_install(tmp_path: Path) -> None:
    project = Project(tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "command", "echo", "mkdir", "rm"):
        if found := shutil.which(name):
            (tmp_path / "bin" / name).symlink_to(found)
    result = subprocess.run(
        [shutil.which("make") or "make", "serve"],
        cwd=project.folder,
        env={"PATH": str(tmp_path / "bin"), "CALLS": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert result.stderr.count("sudo apt-get install python3 python3-venv") == 1


def test_help_names_every_command_that_the_setup_document_does(project: Project) -> None:
    _, _, printed = project.make("help")
    for line in (ROOT / "SETUP.md").read_text().splitlines():
        if line.startswith("| `make "):
            assert f"  {line.split('`')[1]} " in printed, line
