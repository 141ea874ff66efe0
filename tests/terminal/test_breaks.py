"""Whatever breaks between the terminal and the server: the answer is there in the end, once and whole."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.servers import SCRIPTED, CuttingProxy, Server
from tests.terminal.conftest import StartProgram
from tools.on_pty import OnPty


def digits(program: OnPty, asked: str) -> str:
    """What the answer says, wherever its lines end on the screen."""
    _, _, answer = program.seen.text().partition(f"{asked}\n")
    return re.sub(r"\s", "", "".join(re.findall(r"^[\d ]+$", answer, re.MULTILINE)))


def counted(to: int) -> str:
    return "".join(str(number) for number in range(1, to + 1))


@pytest.fixture
def mortal_server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to be killed and started at will; it keeps its conversations."""
    history = f"sqlite:///{tmp_path / 'conversations.db'}"
    server = Server(BACKENDS=SCRIPTED, DATABASE_URL=history, FLUSH_INTERVAL_MS="20").start()
    yield server
    server.stop()


@pytest.mark.parametrize(("options", "told"), [([], "connection lost"), (["--plain"], "The connection is lost")])
def test_a_cut_in_mid_answer_loses_and_doubles_nothing(
    start: StartProgram, proxy: CuttingProxy, options: list[str], told: str
) -> None:
    program = start("chat", "--server", proxy.url, *options)
    program.see("\n›")
    program.type("count to 180\r")
    program.see("9 10 11")
    proxy.cut()
    program.see(told)
    program.see("tok/s")
    assert digits(program, "count to 180") == counted(180)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_answer_goes_on_after_the_server_was_started_anew(
    start: StartProgram, mortal_server: Server, how: signal.Signals
) -> None:
    program = start("chat", "--server", mortal_server.url)
    program.see("\n›")
    program.type("count to 40\r")
    program.see("9 10 11")
    mortal_server.stop(how)
    program.see("connection lost")
    mortal_server.start()
    program.see("tok/s")
    assert digits(program, "count to 40") == counted(40)
    program.type("count to 3 quickly\r")
    program.see("\n1 2 3\n")


def test_what_is_typed_while_there_is_no_server_is_said_when_there_is(
    start: StartProgram, mortal_server: Server
) -> None:
    program = start("chat", "--server", mortal_server.url)
    program.see("\n›")
    mortal_server.stop()
    program.see("The connection is lost")
    program.see("not connected, trying again")
    program.type("Are you there?\r")
    program.see("connection lost, trying again")
    mortal_server.start()
    program.see("Are you there?", times=2)
    program.see("tok/s")


def test_a_conversation_is_opened_again_with_all_that_was_said(start: StartProgram, scripted_server: Server) -> None:
    program = start("chat", "--server", scripted_server.url)
    program.see("\n›")
    program.type("The first **word**\r")
    program.see("tok/s")
    program.type("/quit\r")
    assert program.ended() == 0
    [session] = re.findall(r"--session (\w+)", program.seen.text())
    again = start("chat", "--server", scripted_server.url, "--session", session)
    again.see("\n›", times=2)
    text = again.seen.text()
    assert "› The first **word**" in text
    assert "\nThe first word\n" in text


def test_two_terminals_in_one_conversation_see_the_same(start: StartProgram, scripted_server: Server) -> None:
    program = start("chat", "--server", scripted_server.url)
    program.see("\n›")
    program.type("Hello from here\r")
    program.see("tok/s")
    program.type("/sessions\r")
    program.see("just now")
    [session] = re.findall(r"● .* (\w{32})", program.seen.text())
    other = start("chat", "--server", scripted_server.url, "--session", session)
    other.see("tok/s")
    other.type("count to 5 quickly\r")
    program.see("› count to 5 quickly")
    program.see("\n1 2 3 4 5\n")
    assert program.seen.text().count("1 2 3 4 5") == 1
