"""Special texts are found, and broken where people wrote them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.special_text import SpecialTokens, unused_mark, well_formed

TOKENS = SpecialTokens({"<s>": 1, "<s><s>": 2, "aa": 3, "x": 4})


def test_the_longest_token_is_found_first() -> None:
    assert list(TOKENS.split("<s><s><s>text")) == [2, 1, "text"]


def test_text_between_tokens_stays_as_it_is() -> None:
    assert list(TOKENS.split("one <s> two")) == ["one ", 1, " two"]
    assert list(TOKENS.split("")) == []
    assert list(SpecialTokens({}).split("<s>")) == ["<s>"]


def test_a_single_character_is_never_special() -> None:
    assert list(TOKENS.split("x")) == ["x"]


def test_tokens_that_overlap_are_all_broken() -> None:
    assert TOKENS.broken({"a": "aaaa"}, "|") == {"a": "a|a|a|a"}
    assert TOKENS.broken({"a": "<s><s>"}, "|") == {"a": "<|s><|s>"}


def test_every_text_in_a_tree_is_broken_and_the_rest_is_left_alone() -> None:
    tree = {"a": ["<s>", {"<s>": "<s>"}], "n": 1, "none": None, "yes": True, "t": ("<s>",)}
    assert TOKENS.broken(tree, "|") == {
        "a": ["<|s>", {"<|s>": "<|s>"}],
        "n": 1,
        "none": None,
        "yes": True,
        "t": ["<|s>"],
    }


@given(st.text("<s>a|x", max_size=40))
def test_what_is_broken_holds_no_token_and_mends_by_taking_the_mark_out(text: str) -> None:
    (broken,) = TOKENS.broken({"text": text}, "\ufdd0").values()
    assert isinstance(broken, str)
    assert all(isinstance(piece, str) for piece in TOKENS.split(broken))
    assert broken.replace("\ufdd0", "") == text


def test_the_mark_is_in_no_text_and_no_key() -> None:
    assert unused_mark({"a": "b", "n": 1}) == "\ufdd0"
    assert unused_mark({"a": "\ufdd0", "\ufdd0\ufdd0": ["x", {"b": "\ufdd0"}]}) not in "\ufdd0\ufdd0"


def test_surrogates_are_joined_or_replaced() -> None:
    assert well_formed("a\ud83d\ude42b\udc00") == "a🙂b\ufffd"
    assert well_formed("plain 你好") == "plain 你好"
