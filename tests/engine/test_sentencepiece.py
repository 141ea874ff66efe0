"""SentencePiece vocabularies: the ids of llama.cpp and of sentencepiece itself, and any text comes back."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sentencepiece import merge_by_score
from engine.tokenizer import Tokenizer
from engine.vocabulary import Vocabulary

TOKEN_IDS = json.loads((Path(__file__).parent / "data" / "token_ids.json").read_text())


@pytest.fixture(scope="module")
def sentencepiece() -> Tokenizer:
    """A small SentencePiece vocabulary, and no template."""
    return Tokenizer(sentencepiece_vocabulary(), None)


def sentencepiece_vocabulary() -> Vocabulary:
    stored = TOKEN_IDS["sentencepiece"]["vocabulary"]
    return Vocabulary.from_metadata(
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": stored["tokens"],
            "tokenizer.ggml.scores": np.array(stored["scores"], np.float32),
            "tokenizer.ggml.token_type": np.array(stored["types"], np.int32),
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
        }
    )


def test_sentencepiece_texts_become_the_ids_that_llama_cpp_and_sentencepiece_make_of_them(
    sentencepiece: Tokenizer,
) -> None:
    golden = TOKEN_IDS["sentencepiece"]
    for text, llama_cpp, with_control, original in zip(
        golden["texts"], golden["llama_cpp"], golden["llama_cpp_control"], golden["sentencepiece"], strict=True
    ):
        assert sentencepiece.encode(text) == llama_cpp == original, f"{text!r} has other ids"
        assert sentencepiece.encode(text, special=True) == with_control
        assert sentencepiece.decode(llama_cpp) == text


def test_a_space_counts_where_a_text_goes_on(sentencepiece: Tokenizer) -> None:
    """A text is given a space in front when it is encoded, which is none of its own. The rest of one has its own."""
    ids = sentencepiece.encode("world")
    for begun, said in ((False, "world"), (True, " world")):
        decoder = sentencepiece.decoder(begun=begun)
        assert "".join([*map(decoder.push, ids), decoder.flush()]) == said


def test_sentencepiece_control_and_byte_texts_of_a_person_are_text(sentencepiece: Tokenizer) -> None:
    ids = sentencepiece.encode("</s><unk><0x41>")
    assert not {0, 1, 2} & set(ids)
    assert sentencepiece.decode(ids) == "</s><unk><0x41>"


@given(st.text())
def test_any_text_comes_back_from_sentencepiece(sentencepiece: Tokenizer, text: str) -> None:
    assert sentencepiece.decode(sentencepiece.encode(text)) == text


def test_the_model_wants_a_token_in_front(sentencepiece: Tokenizer) -> None:
    assert sentencepiece.add_bos
    assert sentencepiece.encode_chat([{"role": "user", "content": "Hi"}])[0] == sentencepiece.bos_id == 1
    assert 1 not in sentencepiece.encode("Hi")


def test_a_person_may_write_the_character_that_stands_for_a_space(sentencepiece: Tokenizer) -> None:
    assert sentencepiece.decode(sentencepiece.encode("\u2581a b\u2581")) == "\u2581a b\u2581"


def merge_by_definition(text: str, scores: dict[str, float]) -> list[str]:
    """Join the best pair, the leftmost among equals, until there is none."""
    pieces = list(text)
    while True:
        pairs = [
            (-scores[left + right], place)
            for place, (left, right) in enumerate(pairwise(pieces))
            if left + right in scores
        ]
        if not pairs:
            return pieces
        place = min(pairs)[1]
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]


@given(
    st.text("abc", max_size=30),
    st.dictionaries(st.text("abc", min_size=2, max_size=5), st.sampled_from([-1.0, -2.0, -3.0]), max_size=20),
)
def test_merging_is_joining_the_best_pair_again_and_again(text: str, scores: dict[str, float]) -> None:
    assert merge_by_score(text, scores) == merge_by_definition(text, scores)


@pytest.mark.parametrize("text", ["a" * 10**5, " " * 10**5, "\n" * 10**5, "好" * 10**5, "a " * 10**5])
def test_long_texts_take_time_in_proportion(text: str, sentencepiece: Tokenizer) -> None:
    started = time.thread_time()
    ids = sentencepiece.encode(text)
    assert time.thread_time() - started < 2.0
    assert sentencepiece.decode(ids) == text
