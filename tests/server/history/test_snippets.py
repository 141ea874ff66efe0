"""The words around a hit."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.history.snippets import ELLIPSIS, LENGTH, snippet
from server.history.words import terms_of


def marked(text: str, question: str) -> list[str]:
    made = snippet(text, terms_of(question))
    return [made.text[start:end] for start, end in made.marks]


@pytest.mark.parametrize(
    ("text", "question", "marks"),
    [
        ("Green tea is green.", "gre", ["Gre", "gre"]),
        ("evergreen", "green", []),
        ("Ein Café, cafe\u0301s", "CAFE", ["Café", "café"]),
        ("Straßen in Köln", "strassen kol", ["Straßen", "Köl"]),
        ("東京都に住む", "京都", ["京都"]),
        ("語彙と日本", "日本語", []),
        ("ＦＵＬＬ width", "full", ["ＦＵＬＬ"]),
        ("ﬁnd the fish", "fi", ["ﬁ", "fi"]),
        ("मैं हिन्दी", "हि", ["हि"]),
        ("🎉🫖", "🫖", ["🫖"]),
    ],
)
def test_the_hits_are_marked_as_they_stand_in_the_text(text: str, question: str, marks: list[str]) -> None:
    assert marked(text, question) == marks


def test_a_long_text_is_cut_around_the_most_different_hits() -> None:
    text = "tea " * 100 + "and then\nthey drank green tea together " + "water " * 100
    made = snippet(text, terms_of("green tea"))
    assert "they drank green tea together" in made.text
    assert made.text.startswith(ELLIPSIS)
    assert made.text.endswith("water" + ELLIPSIS)
    assert len(made.text) <= LENGTH + 2
    assert (made.found, made.whole, made.near) == (2, 2, 2)


def test_whole_words_are_told_from_beginnings() -> None:
    assert snippet("a category", terms_of("cat")).whole == 0
    assert snippet("a cat.", terms_of("cat")).whole == 1


@given(st.text(max_size=100), st.text(min_size=1, max_size=6), st.integers(1, 50))
def test_marks_lie_in_the_snippet_and_in_order(text: str, question: str, length: int) -> None:
    terms = terms_of(question)
    if not terms:
        return
    made = snippet(text, terms, length)
    places = [place for mark in made.marks for place in mark]
    assert places == sorted(places)
    assert all(0 <= place <= len(made.text) for place in places)
    assert all(start < end for start, end in made.marks)
    assert "\n" not in made.text


def test_a_text_full_of_hits_takes_no_time() -> None:
    text, terms = "日" * 100_000 + "é " * 100_000, terms_of("日 é")
    started = time.process_time()
    snippet(text, terms)
    assert time.process_time() - started < 2, "A snippet of a long text takes a fraction of a second."
