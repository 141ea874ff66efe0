"""Ollama's own program, as it was built, told that our server is its own: what people type."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.ollama.real import CannotRun, lay_out
from tests.clients.table import shows

Ollama = Callable[..., subprocess.CompletedProcess[str]]
ESCAPES = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


@pytest.fixture(params=[pytest.param(version, marks=pytest.mark.ollama) for version in ("0.9.3", "0.5.4")])
def ollama(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> Ollama:
    """Runs `ollama …` of each version and gives what it printed, without its spinners."""
    try:
        files = lay_out(request.param)
    except CannotRun as reason:
        pytest.skip(f"NO REAL OLLAMA {request.param}: {reason}")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LD_LIBRARY_PATH": str(files),
        "OLLAMA_HOST": server.removeprefix("http://"),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [files / "ollama-lib", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, ESCAPES.sub("", done.stdout), done.stderr)

    return run


@shows("ollama, the program", "list, show, pull", "whole")
def test_models_are_listed_shown_and_pulled(ollama: Ollama) -> None:
    listed = ollama("list").stdout
    assert re.search(r"^pytorch/tiny:latest\s+[0-9a-f]{12}\s+\d+ [KM]?B\s", listed, re.MULTILINE)
    for name in ("tiny", "scripted/thinker:latest"):
        shown = ollama("show", name)
        assert shown.returncode == 0, shown.stderr
        assert "architecture" in shown.stdout
    assert re.search(r"context length\s+1024\s+embedding length\s+64\s", ollama("show", "pytorch/tiny").stdout)
    assert ollama("pull", "tiny").returncode == 0


@shows("ollama, the program", "run, ps, stop", "stream")
def test_an_answer_is_written_and_what_is_loaded_is_stopped(ollama: Ollama) -> None:
    told = ollama("run", "echo", "one two three", "--keepalive", "10m")
    assert (told.returncode, told.stdout.strip()) == (0, "one two three")
    assert re.search(r"^echo/echo:latest\s.*minutes from now", ollama("ps").stdout, re.MULTILINE)
    assert ollama("stop", "echo").returncode == 0


def test_what_is_wrong_is_told_in_our_words(ollama: Ollama) -> None:
    for words, text in {
        ("pull", "nobody"): "There is no model",
        ("cp", "echo", "mine"): "not copied",
    }.items():
        told = ollama(*words)
        assert told.returncode != 0
        assert text in told.stderr
