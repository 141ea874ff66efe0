from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.titles import TITLE_CHARS, UNTITLED, one_line, title_of

TABLE = {
    "a question": ("What is the capital of France?", "What is the capital of France?"),
    "nothing": ("", UNTITLED),
    "white space": (" \n\t\u3000\n", UNTITLED),
    "the first line": ("\n\n  First  line\nSecond line", "First line"),
    "a heading": ("## Plan for *today* ##\ntext", "Plan for today"),
    "no heading": ("#hashtag and C# stay", "#hashtag and C# stay"),
    "a quotation": ("> > To be, or not to be", "To be, or not to be"),
    "a list": ("- [x] buy **milk**\n- bread", "buy milk"),
    "a numbered list": ("1. First\n2. Second", "First"),
    "a number": ("3.14 is not all of it", "3.14 is not all of it"),
    "a year": ("1984 by Orwell", "1984 by Orwell"),
    "a dash that is a minus": ("-5 degrees", "-5 degrees"),
    "a rule before the text": ("---\n***\nAfter the rule", "After the rule"),
    "a table": ("| --- | --- |\nBelow", "Below"),
    "bold with italics": ("**Why *is* it so?**", "Why is it so?"),
    "underscores in names": ("Rename snake_case_name and __init__", "Rename snake_case_name and __init__"),
    "stars that multiply": ("What is 2 * 3 * 4?", "What is 2 * 3 * 4?"),
    "inline code": ("Explain `x = *y` please", "Explain x = *y please"),
    "a link": ('See [the docs](https://example.org/a "title") now', "See the docs now"),
    "an image": ("![a cat](cat.png) What is this?", "a cat What is this?"),
    "brackets that are none": ("a[0] and f(x)", "a[0] and f(x)"),
    "text after code": ("```python\nprint(1)\n```\nWhat does it print?", "What does it print?"),
    "only code": ("```python\n\nprint(1)\n```", "print(1)"),
    "a fence in a fence": ("````\n```\ninner\n```\n````\nouter", "outer"),
    "a fence that stays open": ("~~~\nlet x = 1;", "let x = 1;"),
    "only marks": ("!!!", "!!!"),
    "underscores for italics": ("An _important_ matter", "An important matter"),
    "only a joiner": ("\u200d", UNTITLED),
    "an emoji": ("👍🏽", "👍🏽"),
    "a family": ("👩‍👧", "👩‍👧"),
    "words before marks": ("!!!\nhelp", "help"),
    "control characters": ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
    "directions": ("\u202efdp.exe\u2066\u200f \u200bhidden\ufeff", "fdp.exe hidden"),
    "half a pair": ("a\ud800b", "ab"),
    "Windows' line ends": ("one\r\ntwo", "one"),
    "a tab": ("one\ttwo", "one two"),
    "Chinese": ("请用中文写一首关于春天的诗", "请用中文写一首关于春天的诗"),
    "Arabic": ("ما هي عاصمة فرنسا؟", "ما هي عاصمة فرنسا؟"),
}


@pytest.mark.parametrize(("text", "title"), TABLE.values(), ids=TABLE.keys())
def test_the_title_is_the_first_line_that_says_something(text: str, title: str) -> None:
    assert title_of(text) == title


def test_a_long_line_is_cut_at_a_word() -> None:
    text = "Please explain to me how a transformer pays attention, step by step, with an example"
    assert title_of(text) == "Please explain to me how a transformer pays attention, step…"


def test_the_cut_leaves_no_comma_before_the_ellipsis() -> None:
    assert title_of("a" * 40 + " b, " + "c" * 40) == "a" * 40 + " b…"


def test_a_line_without_words_is_cut_all_the_same() -> None:
    assert title_of("x" * 100) == "x" * 59 + "…"
    assert title_of("x" * 60) == "x" * 60


def test_the_cut_does_not_part_a_letter_from_its_accent() -> None:
    title = title_of("e\u0301" * 40)
    assert title == "e\u0301" * 29 + "…"


def test_the_cut_does_not_part_an_emoji() -> None:
    assert title_of("👩‍👧" * 30) == "👩‍👧" * 19 + "…"
    assert title_of("x" * 58 + "👍🏽👍🏽") == "x" * 58 + "…"


def test_a_long_message_takes_no_time() -> None:
    for text in ("*a " * 300_000, "[" * 900_000, "`a``" * 300_000, "> " * 500_000, "\n" * 900_000, "_" * 900_000):
        began = time.process_time()
        assert title_of(text)
        assert time.process_time() - began < 0.5


@given(st.text())
def test_any_text_gives_a_title_that_fits_a_line_of_the_list(text: str) -> None:
    title = title_of(text)
    assert 1 <= len(title) <= TITLE_CHARS
    assert title == title.strip() == one_line(title)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in title)
