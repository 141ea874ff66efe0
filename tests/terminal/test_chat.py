"""`chat` as a person sees it: a real program on a real terminal, talking with a real server."""

from __future__ import annotations

from tests.browser.servers import Server
from tests.terminal.conftest import StartProgram
from tools.on_pty import OnPty


def test_an_answer_is_formatted_and_its_figures_follow(chat: OnPty) -> None:
    chat.type("# Tea\x1b\rhas **two** kinds:\x1b\r\x1b\r- green\x1b\r- black\r")
    chat.see("tok/s")
    answer = chat.seen.text().partition("- black")[2]
    assert "Tea" in answer
    assert "has two kinds:" in answer
    assert " • green\n • black\n" in answer
    assert "#" not in answer
    assert chat.seen.strange == []


def test_ctrl_c_stops_an_answer_and_keeps_it(chat: OnPty) -> None:
    chat.type("count to 4000\r")
    chat.see("1 2 3 4 5")
    chat.type("\x03")
    chat.see("stopped")
    assert "1 2 3 4 5" in chat.seen.text()
    chat.type("count to 3 quickly\r")
    chat.see("\n1 2 3\n")


def test_ctrl_c_twice_or_ctrl_d_at_the_prompt_leaves(start: StartProgram, scripted_server: Server) -> None:
    for keys in ("\x03\x03", "\x04"):
        program = start("chat", "--server", scripted_server.url)
        program.see("\n›")
        program.type(keys[0])
        if len(keys) > 1:
            program.see("once more")
            program.type(keys[1])
        assert program.ended() == 0
        assert "Traceback" not in program.written


def test_without_a_server_it_says_how_to_start_one(start: StartProgram) -> None:
    program = start("chat", "--server", "127.0.0.1:9")
    assert program.ended() == 3
    told = "".join(program.seen.lines())
    assert told.startswith("No server answers at http://127.0.0.1:9. Start one with `make serve`")
