"""Byte-level vocabularies: the ids of llama.cpp for every way of cutting words, and any text comes back."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer
from engine.vocabulary import Vocabulary

MODEL = Path(__file__).parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TOKEN_IDS = json.loads((Path(__file__).parent / "data" / "token_ids.json").read_text())
CONTROL = range(17)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with GGUFFile.open(MODEL) as file:
        return Vocabulary.from_metadata(file.metadata)


@pytest.fixture(scope="module")
def plain(vocabulary: Vocabulary) -> Tokenizer:
    """The embedded model's tokens without its template."""
    return Tokenizer(vocabulary, None)


@pytest.mark.parametrize("pre", TOKEN_IDS["byte_level"]["ids"])
def test_texts_become_the_ids_that_llama_cpp_makes_of_them(pre: str, vocabulary: Vocabulary) -> None:
    tokenizer = Tokenizer(replace(vocabulary, pre=pre), None)
    for text, ids in zip(TOKEN_IDS["byte_level"]["texts"], TOKEN_IDS["byte_level"]["ids"][pre], strict=True):
        assert tokenizer.encode(text) == ids, f"{text!r} has other ids"
        assert tokenizer.decode(ids) == text


def test_control_texts_are_text_unless_asked_otherwise(plain: Tokenizer) -> None:
    golden = TOKEN_IDS["byte_level"]
    for text, as_text, as_control in zip(
        golden["control_texts"], golden["control_as_text"], golden["control_as_control"], strict=True
    ):
        assert plain.encode(text) == as_text
        assert plain.decode(as_text) == text
        assert plain.encode(text, special=True) == as_control


@given(st.text())
def test_any_text_comes_back_but_for_characters_the_vocabulary_lacks(plain: Tokenizer, text: str) -> None:
    expected = "".join("\ufffd" if lacking(one) else one for one in text)
    ids = plain.encode(text)
    assert plain.decode(ids) == expected
    assert not any(token in CONTROL for token in ids)


def lacking(character: str) -> bool:
    """The embedded vocabulary has no token for some control characters and for two bytes of empty Unicode planes."""
    return character in "\x04\x06\x13\x14\x16\x1d" or 0x40000 <= ord(character) < 0xC0000


def test_a_token_may_be_part_of_a_character(plain: Tokenizer) -> None:
    ids = plain.encode("🙂")
    assert len(ids) > 1
    assert b"".join(map(plain.token_bytes, ids)) == "🙂".encode()


def test_characters_without_tokens_become_replacement_characters_and_lose_nothing_else(plain: Tokenizer) -> None:
    assert plain.decode(plain.encode("a\x04b\U00040000c\U0010ffffd")) == "a\ufffdb\ufffdc\U0010ffffd"


def test_other_threads_run_while_a_long_text_is_encoded(plain: Tokenizer) -> None:
    """An event loop beside the encoding must go on: a prompt of a megabyte takes a second."""
    encoding = threading.Event()

    def encode() -> None:
        encoding.set()
        plain.encode("All work and no play makes Jack a dull boy. " * 10_000)
        encoding.clear()

    thread = threading.Thread(target=encode)
    thread.start()
    ticks = 0
    while thread.is_alive():
        ticks += encoding.is_set()
        time.sleep(0.001)
    assert ticks > 10, "nothing else ran in the meantime"
