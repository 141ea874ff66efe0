"""Our own endpoints, as docs/http.md calls them: every command runs as it is written, and gives such an answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.generation import GenerateParams
from server.routes.chat import ChatAnswer
from server.routes.toggle_thinking import Thinking
from tests.clients.table import shows

PATIENCE_S = 60.0
DOCUMENT = (Path(__file__).resolve().parent.parent.parent / "docs" / "http.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"^```sh\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    for command in block.splitlines()
]

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")


@pytest.fixture(scope="module", autouse=True)
def quiet(embedded: str) -> Iterator[None]:
    """Nothing is left being answered, which other tests of the engine in this process would see."""
    yield
    with httpx.Client(base_url=embedded) as client:
        until = time.monotonic() + PATIENCE_S
        while client.get("/v1/engine/stats").json()["active_requests"]:
            assert time.monotonic() < until, "The answers do not come to their ends."
            time.sleep(0.05)


def run(command: str, url: str, until: str) -> str:
    """What a command prints, up to a line that begins like that, or to its end."""
    ours = re.sub(r"http://(localhost:3000|127\.0\.0\.1:8000)", url, command)
    printed = ""
    with subprocess.Popen(["sh", "-c", f"exec {ours} -sS --max-time 30"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if until and line.startswith(until):
                process.kill()
    return printed


@shows("curl", "docs/http.md", "whole", "stream")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: re.sub(r"[^a-z]+", " ", command)[-60:])
def test_the_commands_of_the_document_work(embedded: str, command: str) -> None:
    follows = "/api/stream/" in command
    printed = run(command, embedded, "event: complete" if follows else "")
    if "/generate" in command:
        *tokens, done = [
            json.loads(line.removeprefix("data: ")) for line in printed.split("\n\n") if line.startswith("data: ")
        ]
        assert done == {"done": True, "total_tokens": len(tokens)}
        assert "".join(token["token"] for token in tokens)
    elif follows:
        assert re.search(r"^data: [0-9a-f-]{36}\|", printed, re.MULTILINE)
    elif "message=" in command:
        assert "Thinking..." in printed
    else:
        (Thinking if "thinking" in command else ChatAnswer).model_validate_json(printed, extra="forbid")


def test_the_answers_of_the_document_are_such() -> None:
    said, thinking = re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    ChatAnswer.model_validate_json(said, extra="forbid")
    Thinking.model_validate_json(thinking, extra="forbid")


@pytest.mark.parametrize("name", GenerateParams.model_fields)
def test_every_parameter_is_told_of(name: str) -> None:
    assert f"`{name}`" in DOCUMENT
