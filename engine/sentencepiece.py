"""SentencePiece BPE: text to token ids by scores, with single bytes for characters that the vocabulary lacks.

Again and again, the two neighbours whose joined text is the token with the best score become that token, the leftmost
first among equals. A space is written as U+2581. Source: SentencePiece's BPE model, as `llama` vocabularies use it.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from engine.errors import ModelLoadError
from engine.vocabulary import TokenType, Vocabulary

SPACE = "\u2581"
_SWAP = str.maketrans(f" {SPACE}", f"{SPACE} ")  # a person's own U+2581 becomes a space, which no token has, then bytes
_WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_JOINS_WORDS = re.compile(f"[^{SPACE}]{SPACE}")
_CACHED_WORDS = 1 << 15
_CACHED_LENGTH = 32  # characters of the longest word that is remembered


class SentencePieceBPE:
    """The text side of a `llama` vocabulary. Control tokens are not in it, so no text can become one."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises ModelLoadError if there are no scores, or characters could be lost."""
        self.begins_with_space = vocabulary.add_space_prefix
        self._tokens, self._types = vocabulary.tokens, vocabulary.types
        self._ids = vocabulary.ids_of(TokenType.NORMAL)
        self._scores = _scores(vocabulary, self._ids)
        self._byte_ids = _byte_ids(vocabulary)
        self._words_are_apart = not any(_JOINS_WORDS.search(text) for text in self._ids)
        self._remembered = lru_cache(_CACHED_WORDS)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""
        text = text.translate(_SWAP)
        words = _WORD.findall(text) if self._words_are_apart else [text]
        ids: list[int] = []
        for word in words:
            ids += self._remembered(word) if len(word) <= _CACHED_LENGTH else self._encode_word(word)
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """What a token that is not special says."""
        text = self._tokens[token_id]
        if self._types[token_id] is TokenType.BYTE:
            return bytes([int(text[1:-1], 16)])
        return text.replace(SPACE, " ").encode()

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return tuple(token_id for piece in merge_by_score(word, self._scores) for token_id in self._piece_ids(piece))

    def _piece_ids(self, piece: str) -> Iterator[int]:
        if piece in self._ids:
            yield self._ids[piece]
        else:
            yield from (self._byte_ids[byte] for byte in piece.translate(_SWAP).encode())


def merge_by_score(text: str, scores: Mapping[str, float]) -> list[str]:
    """Cut `text` into the pieces that merging its characters leaves. O(n log n) for n characters.

    A list linked both ways holds the pieces; the heap holds every pair that was a candidate once, the stale ones too.
    """
    pieces = list(text)  # "" where a piece went into the one before
    after = [*range(1, len(pieces)), -1]
    before = [*range(-1, len(pieces) - 1)]
    candidates: list[tuple[float, int, str]] = []

    def consider(left: int) -> None:
        if left >= 0 and after[left] >= 0:
            merged = pieces[left] + pieces[after[left]]
            if merged in scores:
                heapq.heappush(candidates, (-scores[merged], left, merged))

    for left in range(len(pieces)):
        consider(left)
    while candidates:
        _, left, merged = heapq.heappop(candidates)
        right = after[left]
        if right < 0 or not pieces[left] or pieces[left] + pieces[right] != merged:
            continue
        pieces[left], pieces[right] = merged, ""
        after[left] = after[right]
        if after[left] >= 0:
            before[after[left]] = left
        consider(before[left])
        consider(left)
    return [piece for piece in pieces if piece]


def _scores(vocabulary: Vocabulary, ids: Mapping[str, int]) -> dict[str, float]:
    if not vocabulary.scores:
        raise ModelLoadError("The model's tokenizer is damaged: it has no scores.")
    return {text: vocabulary.scores[token_id] for text, token_id in ids.items()}


def _byte_ids(vocabulary: Vocabulary) -> list[int]:
    """The token of every byte."""
    ids = vocabulary.ids_of(TokenType.BYTE)
    if ids.keys() != {f"<0x{byte:02X}>" for byte in range(256)}:
        raise ModelLoadError("The model's tokenizer cannot spell every character: it lacks tokens for single bytes.")
    return [ids[f"<0x{byte:02X}>"] for byte in range(256)]
