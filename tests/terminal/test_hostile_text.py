"""What a model, or whoever names a chat or a model, might write to take over the terminal: shown, it does nothing."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from websockets.sync.client import connect

from terminal.characters import escape, one_line
from terminal.markdown import render, split
from tests.browser.servers import Server
from tests.terminal.answering import Answering
from tests.terminal.conftest import StartProgram

HOSTILE = {
    "the cursor": "a\x1b[2J\x1b[1;1Hb",
    "the clipboard, OSC 52": "a\x1b]52;c;ZXZpbA==\x07b",
    "the clipboard, ended by ST": "a\x1b]52;c;ZXZpbA==\x1b\\b",
    "a link, OSC 8": "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\b",
    "the title": "a\x1b]0;root@bank\x07b",
    "a question that types its answer": "a\x1b[c\x1b[6n\x1b]10;?\x07\x05b",
    "C1 in one character": "a\x9b2J\x9d52;c;ZXZpbA==\x9cb",
    "a device control string": "a\x1bP$q\x1b\\\x90+q\x9cb",
    "another character set": "a\x1b(0\x0e\x1bcb",
    "backspaces and returns": "safe\b\b\b\bevil\rgone\x7f\x0b\x0cb",
    "colours of ours": "a\x1b[31;8mhidden\x1b[0mb",
    "mouse, paste and screen modes": "a\x1b[?1049h\x1b[?1000h\x1b[?2004l\x1b>b",
    "bidirectional overrides": "a\u202egnp.exe\u202c \u2066x\u2069 \u200f\u200e\u061cb",
    "invisible characters": "a\u200bb\ufeff\u2060c\U000e0041\U000e007f\u180e\u00adb",
    "odd line ends": "a\u2028b\u2029c\x85d\x1c\x1d\x1eb",
    "half a surrogate": "a\ud83db",
    "nothing": "a\x00b",
}
MARKDOWN = {
    "in code": "`\x1b]52;c;eA==\x07`",
    "in a fence": "```\x1b]0;x\x07\n\x1b[2J\n```",
    "in a link": "[a\x1b]8;;x\x07](https://e.example/\x1b]8;;y\x07 '\x1b[2J')",
    "in a picture": "![\x1b[2J](https://e.example/\x9b)",
    "as entities": "&#27;[2J &#x9b;2J &#x202e;abc &#x200b; &ZeroWidthSpace; &rlm;",
    "in an address": "<https://e.example/%1b]52;c;x%07%e2%80%ae>",
    "in a table": "| a\x1b[2J | b |\n|---|---|\n| &#x202e; | [x](javascript:\x1b) |",
    "in a heading": "# \x1b]0;x\x07\n\n> \x9b2J\n\n1. \x1b[1A",
    "as markup of ours": "[bold red]no[/] [link=https://e.example]x[/link] :smile: [@click=app.bell]y[/]",
}
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def forbidden(text: str) -> list[str]:
    """What is there, beside colours, that a terminal acts on or does not show."""
    plain = COLOUR.sub("", text)
    return [character for character in plain if escape(character) != character]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_each_character_is_shown_by_itself_so_no_cut_brings_one_to_life(text: str) -> None:
    shown = escape(text)
    assert forbidden(shown) == []
    assert "\x1b" not in shown
    assert shown == "".join(escape(character) for character in text)
    assert shown != text
    assert "\n" not in one_line(text)


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("naïve 日本語 עברית العربية", "👩‍👩‍👧 🏴 😀🏽", "نمی‌خواهم", "a\tb\nc", "e\u0301"):
        assert escape(text) == text


def rendered(text: str, width: int = 60) -> str:
    console = Console(force_terminal=True, width=width, color_system="truecolor", highlight=False, legacy_windows=False)
    with console.capture() as capture:
        for block in (*split(text)[0], split(text)[1]):
            console.print(render(block))
    return capture.get()


@pytest.mark.parametrize("text", [*HOSTILE.values(), *MARKDOWN.values()], ids=[*HOSTILE, *MARKDOWN])
def test_markdown_brings_nothing_to_life_either(text: str) -> None:
    shown = rendered(text)
    assert forbidden(shown) == []
    assert "\x1b]" not in shown, "a link or a title was set"


def test_an_address_is_shown_beside_the_text_that_hides_it() -> None:
    assert "bank.example (https://evil.example)" in rendered("[bank.example](https://evil.example)")
    assert rendered("<https://plain.example>").count("plain.example") == 1


PIECES = st.sampled_from(
    [*HOSTILE.values(), *MARKDOWN.values(), "\n", "\n\n", "- ", "1. ", "> ", "```", "|", "*", "[", "]("]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=8))
def test_no_mixture_brings_anything_to_life(pieces: list[str]) -> None:
    assert forbidden(rendered("".join(pieces))) == []


@given(st.text(st.sampled_from("ab #-*>`|1.\n\r\t~_[]()=\\&;<"), max_size=60))
def test_blocks_are_the_text_cut_where_it_may_be(text: str) -> None:
    blocks, rest = split(text)
    assert "".join(blocks) + rest == text


@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_69_whatever_others_say_reaches_the_terminal_as_text(
    start: StartProgram, scripted_server: Server, options: list[str]
) -> None:
    """The server repeats it in pieces of one to seven characters, so that sequences come in parts."""
    nasty = " ".join(text for name, text in HOSTILE.items() if name != "half a surrogate")
    with connect(scripted_server.url.replace("http", "ws") + "ws") as elsewhere:
        session = json.loads(elsewhere.recv())["session"]
        program = start("chat", "--server", scripted_server.url, "--session", session, *options)
        program.see("\n›")
        elsewhere.send(json.dumps({"message": f"{nasty} {' '.join(MARKDOWN.values())}"}))
        program.see("tok/s")
    program.type("/sessions a\r")
    program.see("just now")
    assert program.seen.strange == []
    assert "\x1b]" not in program.written
    for own in re.findall(r"\x1b\[[0-?]*[ -/]*([@-~])", program.written):
        assert own in "ABCDGJKmhln", f"The program wrote a sequence that ends in {own}."
    assert program.seen.text().replace("\n", "").count("␛]52;c;ZXZpbA==␇b") >= 2, "the question and the answer"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/models"])
def test_69_what_a_server_says_of_its_failures_is_text(start: StartProgram, path: str) -> None:
    """A server that is nobody's friend: its errors are sequences."""
    nasty = {"error": {"message": "no \x1b]0;x\x07\x1b[2J\u202e"}}
    with Answering(500, json.dumps(nasty).encode()) as url:
        command = ["generate", "Hello"] if path.startswith("/v1") else ["models", "list"]
        program = start(*command, "--server", url)
        assert program.ended() == 1
    assert program.seen.text() == "no ␛]0;x␇␛[2J⟨U+202E⟩"
    assert program.seen.strange == []


def test_69_names_of_models_and_their_reasons_are_text(start: StartProgram) -> None:
    model = {
        "name": "a/\x1b[2Jb\u202e",
        "state": "failed\x07",
        "reason": "\x1b]52;c;eA==\x07",
        "backend": "a",
        "kind": "",
    }
    with Answering(200, json.dumps({"current": model["name"], "models": [model]}).encode()) as url:
        program = start("models", "list", "--server", url, columns=120)
        assert program.ended() == 0
    assert "a/␛[2Jb⟨U+202E⟩" in program.seen.text()
    assert "␛]52;c;eA==␇" in program.seen.text()
    assert program.seen.strange == []
