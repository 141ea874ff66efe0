"""The commands of a chat, as they are typed."""

from __future__ import annotations

import re
import signal
import termios

import pytest

from tests.browser.servers import Server
from tests.terminal.conftest import StartProgram
from tools.on_pty import OnPty


def test_models_are_listed_and_changed_with_progress(chat: OnPty) -> None:
    chat.type("/model\r")
    chat.see("unreachable")
    assert re.search(r"● +scripted/fluent +ready +98 MB Q4_1 +8,192", chat.seen.text())
    chat.type("/model scripted/other\r")
    chat.see("scripted/other: loading 25 %")
    chat.see("scripted/other answers from now on.")
    chat.see("\nscripted/other ·")


def test_a_model_that_cannot_be_loaded_is_a_sentence(chat: OnPty) -> None:
    chat.type("/model scripted/damaged\r")
    chat.see("The file is cut off.")
    chat.type("Still here?\r")
    chat.see("\nStill here?\n")


def test_ctrl_c_gives_up_waiting_for_a_model(chat: OnPty) -> None:
    chat.type("/model scripted/other\r")
    chat.see("loading")
    chat.type("\x03")
    chat.type("Hello\r")
    chat.see("\nHello\n")


def test_another_answer_stands_beside_the_last_one(chat: OnPty) -> None:
    chat.type("/retry\r")
    chat.see("There is no answer yet.")
    chat.type("Say *this*\r")
    chat.see("tok/s")
    chat.type("/retry\r")
    chat.see("tok/s", times=2)
    assert chat.seen.text().count("\nSay this\n") == 2


def test_a_stopped_answer_goes_on(chat: OnPty) -> None:
    chat.type("count to 100\r")
    chat.see("1 2 3 4 5")
    chat.type("\x03")
    chat.see("stopped")
    before = [int(number) for number in re.findall(r"^[\d ]+$", chat.seen.text(), re.MULTILINE)[-1].split()]
    chat.type("/continue\r")
    chat.see("tok/s", times=2)
    after = chat.seen.text().partition("/continue\n")[2].partition("tokens")[0]
    went_on = [int(number) for number in " ".join(re.findall(r"^[\d ]+$", after, re.MULTILINE)).split()]
    assert went_on[0] in (before[-1] + 1, int(str(before[-1] + 1)[-1])), "it goes on where it ended"
    assert went_on[-2] == 100 or went_on[-1] == 100


def test_reasoning_is_shown_apart(chat: OnPty) -> None:
    chat.type("/think on\r")
    chat.see("asked to reason first")
    chat.type("think\r")
    chat.see("tok/s")
    assert "│ Let me see. It is simple.\n\nIt is four." in chat.seen.text()


def test_conversations_are_begun_listed_and_opened(chat: OnPty) -> None:
    chat.type("About walnuts\r")
    chat.see("tok/s")
    chat.type("/new\r")
    chat.see("A new conversation.")
    chat.type("/sessions walnuts\r")
    chat.see("just now")
    chat.type("/open 1\r")
    chat.see("› About walnuts", times=2)
    chat.type("And hazelnuts?\r")
    chat.see("\nAnd hazelnuts?\n")


def test_a_conversation_that_is_not_there_is_told(chat: OnPty) -> None:
    chat.type(f"/open {'0' * 32}\r")
    chat.see("does not know that conversation")
    chat.type("Hello\r")
    chat.see("\nHello\n")


@pytest.mark.parametrize(
    ("typed", "told"),
    [("/nonsense\r", "There is no /nonsense"), ("/open\r", "/open is followed by"), ("/think perhaps\r", "/think is")],
)
def test_what_makes_no_sense_is_told(chat: OnPty, typed: str, told: str) -> None:
    chat.type(typed)
    chat.see(told)


def test_progress_is_shown_until_it_is_stopped(chat: OnPty) -> None:
    """What is past when the screen is next drawn is never seen: only what lasts can be waited for."""
    chat.type("wait\r")
    chat.see("reading 512 of 2,048 tokens")
    chat.type("\x03")
    chat.see("stopped")


def test_a_failure_keeps_what_came_before_it(chat: OnPty) -> None:
    chat.type("fail broken\r")
    chat.see("It broke.")
    assert "\nThis much came.\n" in chat.seen.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_keyboard_is_given_back_when_it_is_told_to_end(
    start: StartProgram, scripted_server: Server, number: signal.Signals
) -> None:
    program = start("chat", "--server", scripted_server.url)
    program.see("\n›")
    program.type("count to 4000\r")
    program.see("1 2 3")
    program.signal(number)
    program.ended()
    assert "Traceback" not in program.written
    assert program.local_flags() & termios.ECHO
