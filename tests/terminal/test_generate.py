"""`generate` as a shell sees it: pipes in and out, exit statuses, and what is said where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.browser.servers import ROOT, Server

Ran = subprocess.CompletedProcess[str]


def run(server: str, *arguments: str, piped: str | None = None) -> Ran:
    command = [sys.executable, "cli.py", "generate", "--server", server, *arguments]
    given = {"input": piped} if piped is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **given)


def test_the_answer_is_the_text_and_a_line_end(scripted_server: Server) -> None:
    ran = run(scripted_server.url, "What", "is *this*?")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("What is *this*?\n", "", 0)


def test_what_is_piped_stands_below_the_prompt(scripted_server: Server) -> None:
    ran = run(scripted_server.url, "Summarize:", piped="one\ntwo\n")
    assert (ran.stdout, ran.returncode) == ("Summarize:\n\none\ntwo\n", 0)
    assert run(scripted_server.url, piped="only this\n").stdout == "only this\n"


def test_a_file_gets_the_bytes_as_they_are(scripted_server: Server) -> None:
    nasty = "a\x1b]52;c;eA==\x07b \u202e c\r\nd\u2028e"
    command = [sys.executable, "cli.py", "generate", "--server", scripted_server.url]
    ran = subprocess.run(command, cwd=ROOT, input=nasty.encode(), capture_output=True, timeout=60, check=True)
    assert ran.stdout == f"{nasty}\n".encode()


def test_json_is_the_whole_result_in_one_line_of_ascii(scripted_server: Server) -> None:
    ran = run(scripted_server.url, "--json", "--max-tokens", "3", "naïve \x1b[2J and more of it")
    [line] = ran.stdout.splitlines()
    assert line.isascii()
    assert line.isprintable()
    result = json.loads(line)
    assert result["text"] == "naïve "
    assert result["finish_reason"] == "length"
    assert result["model"] == "scripted/fluent"
    assert result["usage"]["completion_tokens"] == 3
    assert result["timings"]["first_ms"] <= result["timings"]["total_ms"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["fail overloaded at once"], 1, "It broke."),
        (["--model", "nobody", "Hello"], 1, "There is no model nobody here."),
        (["--temperature", "3", "Hello"], 2, "--temperature"),
        ([], 2, "There is nothing to answer."),
        (["--server", "ftp://x", "Hello"], 2, "ftp://x is no address of a server."),
        (["--server", "127.0.0.1:9", "Hello"], 3, "No server answers at http://127.0.0.1:9."),
    ],
)
def test_a_failure_is_a_sentence_and_a_status(
    scripted_server: Server, arguments: list[str], status: int, told: str
) -> None:
    ran = run(scripted_server.url, *arguments)
    assert ran.returncode == status
    assert told in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


def test_what_came_before_a_failure_is_there(scripted_server: Server) -> None:
    ran = run(scripted_server.url, "fail broken")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("This much came.\n", "It broke.\n", 1)


def test_a_reader_that_leaves_is_no_error(scripted_server: Server) -> None:
    command = [sys.executable, "cli.py", "generate", "--server", scripted_server.url, "count to 40000"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stderr:
        with process.stdout:
            process.stdout.read(4)
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_ctrl_c_ends_it_quietly(scripted_server: Server) -> None:
    command = [sys.executable, "cli.py", "generate", "--server", scripted_server.url, "count to 40000"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    process.stdout.read(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("", 130)
