"""The other commands: models, serve, keys, bench, and what `--help` tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.servers import ROOT, Server
from tests.terminal.answering import Answering
from tests.test_app import first_address, get

Ran = subprocess.CompletedProcess[str]


def run(*arguments: str, **environment: str) -> Ran:
    command = [sys.executable, "cli.py", *arguments]
    settings = {**os.environ, "COLUMNS": "120", **environment}
    return subprocess.run(
        command, cwd=ROOT, env=settings, input="Hello\n" * 5, capture_output=True, text=True, timeout=60, check=False
    )


def test_models_are_listed_for_people_and_for_programs(scripted_server: Server) -> None:
    told = run("models", "list", "--server", scripted_server.url)
    assert told.returncode == 0
    assert "Nothing answers at its address." in told.stdout
    listed = json.loads(run("models", "list", "--json", "--server", scripted_server.url).stdout)
    assert "scripted/fluent" in {model["name"] for model in listed["models"]}


def test_a_model_is_loaded_or_a_sentence_says_why_not(scripted_server: Server) -> None:
    loaded = run("models", "load", "scripted/fluent", "--server", scripted_server.url)
    assert (loaded.stdout, loaded.returncode) == ("scripted/fluent is ready, and answers from now on.\n", 0)
    damaged = run("models", "load", "scripted/damaged", "--server", scripted_server.url)
    assert (damaged.stdout, damaged.stderr, damaged.returncode) == ("", "The file is cut off.\n", 1)


def test_a_server_that_deletes_no_models_says_so(scripted_server: Server) -> None:
    ran = run("models", "rm", "scripted/fluent", "--server", scripted_server.url)
    assert ran.returncode == 1
    assert "Models are not deleted here." in ran.stderr


def lines(*steps: object) -> bytes:
    return b"".join(json.dumps(step).encode() + b"\n" for step in steps)


PULLING = {"status": "pulling abc", "digest": "abc", "total": 100, "completed": 40}


@pytest.mark.parametrize(
    ("told", "status", "out", "err"),
    [
        (lines({"status": "pulling manifest"}, PULLING, {"status": "success"}), 0, "x is there.\n", ""),
        (lines(PULLING, {"error": "no such model"}), 1, "", "no such model\n"),
        (lines(PULLING), 1, "", "The server ended before x was whole. Pull it again: it goes on where it was.\n"),
        (b"<html>\n", 1, "", "What the server says of it is no JSON.\n"),
    ],
)
def test_a_model_is_pulled_whole_or_not_at_all(told: bytes, status: int, out: str, err: str) -> None:
    with Answering(200, told, "application/x-ndjson") as url:
        ran = run("models", "pull", "x", "--server", url)
    assert (ran.returncode, ran.stdout, ran.stderr) == (status, out, err)


def test_a_pull_tells_programs_what_the_server_tells() -> None:
    with Answering(200, lines(PULLING, {"status": "success"}), "application/x-ndjson") as url:
        ran = run("models", "pull", "x", "--json", "--server", url)
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [PULLING, {"status": "success"}]


def test_a_key_is_wanted_and_that_is_said() -> None:
    with Answering(401, b'{"success": false, "error": "Who are you?"}') as url:
        for arguments in (["models", "list"], ["generate", "Hello"], ["chat"]):
            ran = run(*arguments, "--server", url)
            assert ran.returncode == 1
            assert "Give it a key with --key or SWITCHBOARD_KEY." in ran.stderr
            assert "Traceback" not in ran.stderr, arguments


def test_serve_is_the_server_and_ctrl_c_ends_it() -> None:
    command = [sys.executable, "cli.py", "serve", "--port", "0"]
    settings = {**os.environ, "BACKENDS": "echo", "DATABASE_URL": "off"}
    with subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert get(first_address(process) + "/health/live")[0] == 200
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0


def test_keys_and_bench_are_the_programs_of_that_name(tmp_path: Path) -> None:
    made = run("keys", "add", "laptop", "--json", KEYS_FILE=str(tmp_path / "keys.json"))
    assert made.returncode == 0, made.stderr
    assert "laptop" in made.stdout
    assert "peer" in run("bench").stdout.splitlines()
    assert "usage: " in run("bench", "peer", "--help").stdout.lower()
    nonsense = run("bench", "nonsense")
    assert (nonsense.returncode, nonsense.stdout) == (2, "")
    assert nonsense.stderr.startswith("There is no bench program nonsense.")


@pytest.mark.parametrize("command", [[], ["chat"], ["generate"], ["models"], ["models", "pull"], ["serve"], ["doctor"]])
def test_each_command_explains_itself(command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.returncode == 0
    assert ran.stderr == ""
    assert "Usage: " in ran.stdout


def test_a_fault_of_the_program_is_a_sentence_too() -> None:
    with Answering(200, b'{"models": 7, "current": ""}') as url:
        ran = run("models", "list", "--server", url)
    assert ran.returncode == 1
    assert ran.stderr.startswith("This program has a fault;")
    assert "Traceback" not in ran.stderr


def test_the_document_has_every_command() -> None:
    document = (ROOT / "docs" / "terminal.md").read_text()
    listed = run("--help").stdout
    for command in ("chat", "generate", "models", "serve", "doctor", "keys", "bench"):
        assert f"`{command}" in document
        assert command in listed
