"""Byte-level BPE: text to token ids by merges, and a token's bytes.

Every byte has a printable character that stands for it in the vocabulary: its own where it is printable in Latin-1,
else one from U+0100 on, in order. Source: the byte-level tokenization of GPT-2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenizers import Tokenizer as FastTokenizer
from tokenizers.models import BPE

from engine.errors import ModelLoadError
from engine.pre_tokenizers import WHOLE_WORDS_FIRST, make_pre_tokenizer
from engine.vocabulary import TokenType, Vocabulary


def _byte_alphabet() -> Iterator[tuple[int, int]]:
    """(code point of the character, byte it stands for)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unprintable = [byte for byte in range(256) if byte not in printable]
    yield from ((byte, byte) for byte in printable)
    yield from ((0x100 + position, byte) for position, byte in enumerate(unprintable))


_BYTE_OF = dict(_byte_alphabet())


class ByteLevelBPE:
    """The text side of a `gpt2` vocabulary. Control tokens are not in it, so no text can become one."""

    begins_with_space = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises ModelLoadError if the merges do not fit the tokens."""
        ids = vocabulary.ids_of(TokenType.NORMAL)
        self._tokens, self._types = vocabulary.tokens, vocabulary.types
        self._missing_byte = _any_of([byte for code, byte in _BYTE_OF.items() if chr(code) not in ids])
        self._fast = FastTokenizer(_make_model(vocabulary, ids))
        self._fast.pre_tokenizer = make_pre_tokenizer(vocabulary.pre)

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens. Characters that the vocabulary cannot spell become U+FFFD."""
        if self._missing_byte.search(text.encode()):
            text = "".join("\ufffd" if self._missing_byte.search(one.encode()) else one for one in text)
        return encode_unlocked(self._fast, text)

    def token_bytes(self, token_id: int) -> bytes:
        """What a normal or user-defined token says."""
        text = self._tokens[token_id]
        if self._types[token_id] is TokenType.NORMAL:
            try:
                return text.translate(_BYTE_OF).encode("latin-1")
            except UnicodeEncodeError:
                return text.encode()  # not spelt in the byte alphabet: an added word
        return text.encode()


def encode_unlocked(fast: FastTokenizer, text: str) -> list[int]:
    """Ids of `text`, while other threads run: the library's `encode` would hold the interpreter's lock all the time."""
    [encoding] = fast.encode_batch_fast([text], add_special_tokens=False)
    ids: list[int] = encoding.ids
    return ids


def _any_of(values: list[int]) -> re.Pattern[bytes]:
    """Finds one of these bytes. Some vocabularies lack rare control characters, or bytes of empty Unicode planes."""
    return re.compile(b"[" + re.escape(bytes(values)) + b"]" if values else b"(?!)")


def _make_model(vocabulary: Vocabulary, ids: dict[str, int]) -> BPE:
    merges = [_split_merge(merge) for merge in vocabulary.merges]
    usable = [(left, right) for left, right in merges if left in ids and right in ids and left + right in ids]
    if not usable:
        raise ModelLoadError("The model's tokenizer is damaged: it has no merges that fit its tokens.")
    return BPE(ids, usable, ignore_merges=vocabulary.pre in WHOLE_WORDS_FIRST)


def _split_merge(merge: str) -> tuple[str, str]:
    left, space, right = merge.partition(" ")
    if not (left and space and right):
        raise ModelLoadError(f"The model's tokenizer is damaged: {merge[:40]!r} is not a merge.")
    return left, right
