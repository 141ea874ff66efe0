"""What a word is to the search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.history.words import MAX_TERMS, MAX_TEXT, MAX_WORD, MAX_WORDS, fold, terms_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("snake_case isn't e-mail", "snake case isn t e mail"),
        ("Café CAFE\u0301 ñandú Åse", "cafe cafe nandu ase"),
        ("Straße ＦＵＬＬ ﬁne", "strasse full fine"),
        ("שָׁלוֹם مُحَمَّد", "שלום محمد"),
        ("日本語", "日本 本語 語"),
        ("GPUで推論v2", "gpu で推 推論 論 v2"),
        ("が\u3000か\u3099", "が が"),
        ("한국어", "한국 국어 어"),
        ("हिन्दी भाषा।", "हिन्दी भाषा"),
        ("party🎉🫖!", "party 🎉🫖 🫖"),
        ("zero\u200bwidth so\u00adft", "zerowidth soft"),
        ("?! \0 \ud800", ""),
    ],
)
def test_words_are_folded_the_same_for_every_database(text: str, words: str) -> None:
    assert words_of(text) == words


@given(st.text())
def test_no_word_holds_what_a_database_would_act_upon(text: str) -> None:
    for word in words_of(text).split(" "):
        assert not set(word) & set("'\"\\*:&|()<>!^ \0¶"), f"{word!r} would be read as more than a word."


@given(st.text(alphabet=st.sampled_from("aÉßＡ日本語ไทย🎉 ह\u0301\u093f_-"), max_size=12))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet="aÉ日本語ไทย🎉 x", min_size=1, max_size=12), st.data())
def test_the_index_holds_what_any_part_of_a_text_asks_for(text: str, data: st.DataObject) -> None:
    """Every word, from its beginning; and of a script without spaces, every stretch."""
    words = words_of(text).split(" ")
    for term in terms_of(text):
        cut = data.draw(st.integers(1, len(term.text)))
        part = term.text[:cut] if not term.spaceless else term.text[len(term.text) - cut :]
        for asked in terms_of(part):
            for word in asked.words:
                assert any(found == word if asked.exact else found.startswith(word) for found in words)


def test_a_text_has_no_more_words_than_a_database_takes() -> None:
    assert len(words_of("word " * MAX_TEXT).split()) == MAX_WORDS
    assert words_of("x" * MAX_TEXT) == "x" * MAX_WORD
    assert len(words_of("\ufdfa" * MAX_TEXT)) <= MAX_TEXT


def test_a_question_is_cut_where_nobody_would_go_on_typing() -> None:
    assert len(terms_of(" ".join(f"word{number}" for number in range(99)))) <= MAX_TERMS
    assert [term.text for term in terms_of("cat category catalogue cat")] == ["category", "catalogue"]
    assert [term.text for term in terms_of("日 日本 本")] == ["日本"]
    assert terms_of(" ?*\"' ") == []
