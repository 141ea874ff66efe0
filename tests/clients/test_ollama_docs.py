"""Every line of docs/ollama.md that people may copy, run as it is written against the embedded model."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.ollama.options import HEEDED, NEUTRAL, UNHEEDED
from server.ollama.requests import ChatRequest, GenerateRequest
from tests.clients.table import shows

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ollama.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
CURLS = re.findall(r"^curl .*$", DOCUMENT, re.MULTILINE)


@shows("curl", "docs/ollama.md", "whole", "stream")
@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
@pytest.mark.parametrize("line", CURLS)
def test_a_line_for_the_shell_does_what_it_says(embedded: str, line: str) -> None:
    command = shlex.split(line.replace(ADDRESS, embedded))
    done = subprocess.run([*command, "--silent", "--fail"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *_, last = (json.loads(each) for each in done.stdout.splitlines())
    assert "error" not in last
    if "format" in line:
        assert set(json.loads(last["message"]["content"])) == {"city"}


def test_the_lines_for_python_do_what_they_say(embedded: str) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program.replace(ADDRESS, embedded)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_field_and_every_option_that_shapes_an_answer_is_told_of() -> None:
    fields = {*ChatRequest.model_fields, *GenerateRequest.model_fields} - {"name", "options"}
    for name in {*fields, *HEEDED, *NEUTRAL}:
        assert f"`{name}`" in DOCUMENT, f"docs/ollama.md says nothing of {name}."
    told = set(re.findall(r"`(\w+)`", DOCUMENT))
    assert told & set(UNHEEDED), "it names some of what only says how to compute"
