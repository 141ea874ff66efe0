"""What a person types: several lines, pastes, history, completion; and a pipe in place of a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.servers import ROOT, Server
from tests.terminal.conftest import StartProgram
from tools.on_pty import OnPty

PASTE = "\x1b[200~{}\x1b[201~"


@pytest.mark.parametrize("newline", ["\x1b\r", "\n", "\x1b[13;2u", "\x1b[27;2;13~"])
def test_a_new_line_is_begun_and_enter_sends_both(chat: OnPty, newline: str) -> None:
    chat.type(f"one{newline}two\r")
    chat.see("tok/s")
    assert "› one\n  two\n" in chat.seen.text()
    assert "\none two\n" in chat.seen.text(), "Markdown joins the lines of a paragraph."


def test_what_is_pasted_is_not_sent_by_itself(chat: OnPty) -> None:
    chat.type(PASTE.format("first\rsecond\r/quit\r"))
    chat.see("/quit")
    chat.type("\x7f\x7f\x7f\x7f\x7f\x7fthird\r")
    chat.see("tok/s")
    assert "\nfirst second third\n" in chat.seen.text()


def test_what_was_typed_before_comes_back_in_another_chat(start: StartProgram, scripted_server: Server) -> None:
    for expected in ("", "A question of mine"):
        program = start("chat", "--server", scripted_server.url)
        program.see("\n›")
        program.type("\x1b[A" if expected else "A question of mine")
        program.see("› A question of mine")
        program.type("\r")
        program.see("tok/s")
        program.type("\x04")
        assert program.ended() == 0


def test_the_history_is_nobody_elses_business(chat: OnPty, tmp_path: Path) -> None:
    chat.type("A secret\r")
    chat.see("tok/s")
    kept = tmp_path / "state" / "switchboard" / "history"
    assert "A secret" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_commands_are_completed(chat: OnPty) -> None:
    chat.type("/se")
    chat.see("/sessions")
    chat.type("\t")
    chat.see("› /sessions")
    chat.type("\r")
    chat.see("changed")


def test_what_is_typed_during_an_answer_waits_for_the_next_prompt(chat: OnPty) -> None:
    chat.type("count to 60\r")
    chat.see("1 2 3 4 5")
    chat.type("Next question\r")
    chat.see("tok/s", times=2)
    assert "\nNext question\n" in chat.seen.text().rpartition("60 tokens")[2]


def test_ctrl_c_clears_what_was_typed(chat: OnPty) -> None:
    chat.type("Never mind")
    chat.see("› Never mind")
    chat.type("\x03Better this\r")
    chat.see("\nBetter this\n")
    assert "Never mind" not in chat.seen.text()


def test_each_line_of_a_pipe_is_a_message(scripted_server: Server) -> None:
    command = [sys.executable, "cli.py", "chat", "--server", scripted_server.url]
    given = "First *line*\n\n/system Be brief.\n/nonsense\ncount to 5 quickly\n"
    ran = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout == "First *line*\n1 2 3 4 5 \n"
    assert ran.returncode == 0
    assert "System prompt: Be brief." in ran.stderr
    assert "There is no /nonsense; /help lists what there is." in ran.stderr
    assert "Traceback" not in ran.stderr
