"""Scenario 69: a model, a chat's title or a server's error that is full of sequences does nothing to the terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.browser.servers import ROOT, SCRIPTED
from tests.terminal.answering import Answering
from tests.terminal.hostile_text import HOSTILE, MARKDOWN
from tools.on_pty import OnPty


@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_69_whatever_others_say_reaches_the_terminal_as_text(
    serve: Callable[..., str], tmp_path: Path, options: list[str]
) -> None:
    """The server repeats it in pieces of one to seven characters, so that sequences come in parts."""
    nasty = " ".join(text for name, text in HOSTILE.items() if name != "half a surrogate")
    url = serve(backends=[SCRIPTED], database_url=f"sqlite:///{tmp_path}/c.db")
    with connect(url.replace("http", "ws") + "/ws", close_timeout=0) as elsewhere:  # it does not listen
        session = json.loads(elsewhere.recv())["session"]
        with program("chat", "--server", url, "--session", session, *options, folder=tmp_path) as chat:
            chat.see("\n›")
            elsewhere.send(json.dumps({"message": f"{nasty} {' '.join(MARKDOWN.values())}"}))
            chat.see("tok/s")
            chat.type("/sessions a\r")
            chat.see("just now")
    assert chat.seen.strange == []
    assert "\x1b]" not in chat.written
    for own in re.findall(r"\x1b\[[0-?]*[ -/]*([@-~])", chat.written):
        assert own in "ABCDGJKmhln", f"The program wrote a sequence that ends in {own}."
    assert chat.seen.text().replace("\n", "").count("␛]52;c;ZXZpbA==␇b") >= 2, "the question and the answer"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/models"])
def test_69_what_a_server_says_of_its_failures_is_text(tmp_path: Path, path: str) -> None:
    """A server that is nobody's friend: its errors are sequences."""
    nasty = {"error": {"message": "no \x1b]0;x\x07\x1b[2J\u202e"}}
    with Answering(500, json.dumps(nasty).encode()) as url:
        command = ["generate", "Hello"] if path.startswith("/v1") else ["models", "list"]
        with program(*command, "--server", url, folder=tmp_path) as told:
            assert told.ended() == 1
    assert told.seen.text() == "no ␛]0;x␇␛[2J⟨U+202E⟩"
    assert told.seen.strange == []


def test_69_names_of_models_and_their_reasons_are_text(tmp_path: Path) -> None:
    model = {
        "name": "a/\x1b[2Jb\u202e",
        "state": "failed\x07",
        "reason": "\x1b]52;c;eA==\x07",
        "backend": "a",
        "kind": "",
    }
    listed = json.dumps({"current": model["name"], "models": [model]}).encode()
    with Answering(200, listed) as url, program("models", "list", "--server", url, folder=tmp_path) as listing:
        assert listing.ended() == 0
    assert "a/␛[2Jb⟨U+202E⟩" in listing.seen.text()
    assert "␛]52;c;eA==␇" in listing.seen.text()
    assert listing.seen.strange == []


def program(*arguments: str, folder: Path) -> OnPty:
    """`cli.py` on a terminal of its own."""
    return OnPty([sys.executable, "cli.py", *arguments], ROOT, {"XDG_STATE_HOME": str(folder)}, columns=120)
