"""What a file says about its tokens is checked before it is believed."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import ModelLoadError
from engine.tokenizer import Tokenizer
from engine.vocabulary import Vocabulary

WRONG = {
    "no tokenizer": ({}, "holds no tokenizer"),
    "another kind": ({"model": "bert"}, "unknown kind: 'bert'"),
    "another cut": ({"pre": "something-new"}, "not known here: 'something-new'"),
    "tokens are a number": ({"tokens": 3}, "tokens is not what it should be"),
    "tokens are lists": ({"tokens": [["a"]]}, "tokens is not what it should be"),
    "fewer types": ({"token_type": np.array([1], np.int32)}, "numbers of tokens and of their types"),
    "unknown types": ({"token_type": np.array([1, 1, 77], np.int32)}, "77 is not a valid TokenType"),
    "types are fractions": ({"token_type": np.array([1, 1, 1], np.float32)}, "token_type is not what it should be"),
    "no merges": ({"merges": []}, "no merges that fit"),
    "a merge of one": ({"merges": ["ab"]}, "'ab' is not a merge"),
    "merges of nothing": ({"merges": ["x y"]}, "no merges that fit"),
    "end token a text": ({"eos_token_id": "a"}, "eos_token_id is not what it should be"),
    "beginning a text": ({"add_bos_token": "yes"}, "add_bos_token is not what it should be"),
    "no scores": ({"model": "llama"}, "it has no scores"),
    "fewer scores": ({"model": "llama", "scores": np.zeros(2, np.float32)}, "scores is not what it should be"),
    "no bytes": ({"model": "llama", "scores": np.zeros(3, np.float32)}, "lacks tokens for single bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_damaged_tokenizer_is_refused_with_the_reason(case: str) -> None:
    change, reason = WRONG[case]
    fields: dict = {"model": "gpt2", "pre": "gpt-2", "tokens": ["a", "b", "ab"], "merges": ["a b"]} if change else {}
    metadata = {f"tokenizer.ggml.{key}": value for key, value in {**fields, **change}.items()}
    with pytest.raises(ModelLoadError, match=reason):
        Tokenizer(Vocabulary.from_metadata(metadata), None)


def test_ids_that_mean_none_are_none() -> None:
    fields = {
        "model": "gpt2",
        "tokens": ["a", "b", "ab"],
        "merges": ["a b"],
        "bos_token_id": 2**32 - 1,
        "eos_token_id": -1,
    }
    vocabulary = Vocabulary.from_metadata({f"tokenizer.ggml.{key}": value for key, value in fields.items()})
    assert vocabulary.special_ids == {}
    assert vocabulary.eos_ids == frozenset()


def test_the_end_tokens_known_by_name_end_an_answer_and_are_control_tokens_whatever_the_file_says() -> None:
    tokens = ["a", "b", "ab", "<|eot_id|>", "<|im_end|>", "<|end|>", "<|other|>", "</s>", "<eos>"]
    types = [1, 1, 1, 3, 1, 4, 3, 1, 3]
    vocabulary = Vocabulary.from_metadata(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": np.array(types, np.int32),
            "tokenizer.ggml.merges": ["a b"],
            "tokenizer.ggml.eos_token_id": 6,
        }
    )
    made = Tokenizer(vocabulary, None)
    assert made.eos_ids == {3, 4, 5, 6, 8}
    assert made.encode("<|im_end|>ab") == [2], "characters without a token are left out, and no end token is made"
    assert made.encode("<|im_end|>ab", special=True) == [4, 2]
    assert made.bos_id is None
