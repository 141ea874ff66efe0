"""Nothing that others write is anything but text to the terminal, in Markdown or not, whole or in pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from terminal.characters import escape, one_line
from terminal.markdown import render, split
from tests.terminal.hostile_text import HOSTILE, MARKDOWN

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
