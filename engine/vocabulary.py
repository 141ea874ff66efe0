"""What a GGUF file says about its tokens: their texts, their kinds, and which of them have a meaning of their own.

Reads and checks the `tokenizer.*` metadata. Knows nothing of how text becomes tokens.
Source: the GGUF specification, section "Tokenizer".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelLoadError
from engine.loader.gguf import MetaValue

T = TypeVar("T")


class TokenType(IntEnum):
    """What a token is."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # steers the model; never part of anybody's text
    USER_DEFINED = 4  # a text that is always this token
    UNUSED = 5
    BYTE = 6  # one byte, written <0xF0>


_END_TEXTS = frozenset(
    {
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|im_end|>",
        "<|end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|eot|>",
        "<|eom|>",
        "<|endofturn|>",
        "<|end_of_turn|>",
        "<|return|>",
        "<|call|>",
        "<turn|>",
        "<end_of_turn>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    }
)
_END_TEXTS_IF_CONTROL = _END_TEXTS | {"</s>", "<eos>", "<EOT>"}  # these may be words too: </s> is HTML
_STARTS_WITH_BOS = frozenset({"llama-bpe", "llama3", "llama-v3"})  # unless the file says otherwise
_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")


@dataclass(slots=True, frozen=True, eq=False)
class Vocabulary:
    """The tokens of a model, by id."""

    model: str  # "gpt2": byte-level BPE with merges; "llama": SentencePiece BPE with scores
    pre: str  # the name of the way words are cut
    tokens: Sequence[str]
    types: Sequence[TokenType]
    merges: Sequence[str]
    scores: Sequence[float]
    special_ids: Mapping[str, int]  # "bos", "eos", "unknown", "padding", where the file names them
    eos_ids: frozenset[int]
    add_bos: bool
    add_space_prefix: bool

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, MetaValue]) -> Vocabulary:
        """Raises ModelLoadError if the file has no tokenizer, or one that contradicts itself."""
        fields = _Fields(metadata)
        tokens = fields.texts("tokens")
        if not tokens:
            raise ModelLoadError("The model's file holds no tokenizer.")
        types = _token_types(fields.integers("token_type"), tokens)
        model, pre = fields.text("model"), fields.text("pre", "default")
        return cls(
            model=model,
            pre=pre,
            tokens=tokens,
            types=types,
            merges=fields.texts("merges"),
            scores=fields.numbers("scores", len(tokens)),
            special_ids={
                name: token_id
                for name in ("bos", "eos", "unknown", "padding")
                if (token_id := fields.token_id(f"{name}_token_id", len(tokens))) is not None
            },
            eos_ids=_end_ids(fields, tokens, types),
            add_bos=fields.flag("add_bos_token", default=model == "llama" or pre in _STARTS_WITH_BOS),
            add_space_prefix=fields.flag("add_space_prefix", default=model == "llama"),
        )

    def ids_of(self, kind: TokenType) -> dict[str, int]:
        """The tokens of one type: their texts and ids."""
        return {
            text: token_id
            for token_id, (text, its_kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if its_kind is kind and text
        }


def _token_types(numbers: Sequence[int], tokens: Sequence[str]) -> list[TokenType]:
    if not numbers:
        numbers = [TokenType.NORMAL] * len(tokens)
    if len(numbers) != len(tokens):
        raise ModelLoadError("The model's tokenizer is damaged: it has other numbers of tokens and of their types.")
    try:
        types = [TokenType(number) for number in numbers]
    except ValueError as error:
        raise ModelLoadError(f"The model's tokenizer is damaged: {error}.") from error
    for token_id, text in enumerate(tokens):
        if text in _END_TEXTS:  # some files call them normal, which would let a person end the model's turn
            types[token_id] = TokenType.CONTROL
    return types


def _end_ids(fields: _Fields, tokens: Sequence[str], types: Sequence[TokenType]) -> frozenset[int]:
    named = {fields.token_id(key, len(tokens)) for key in _END_KEYS} - {None}
    known = {
        token_id
        for token_id, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind is TokenType.CONTROL and text in _END_TEXTS_IF_CONTROL
    }
    return frozenset(token_id for token_id in named | known if token_id is not None)


class _Fields:
    """The `tokenizer.ggml.*` metadata, each value checked for its type when it is asked for."""

    def __init__(self, metadata: Mapping[str, MetaValue]) -> None:
        self._metadata = metadata

    def text(self, key: str, default: str = "") -> str:
        return self._get(key, str, default)

    def flag(self, key: str, *, default: bool) -> bool:
        return self._get(key, bool, default)

    def token_id(self, key: str, size: int) -> int | None:
        value = self._get(key, int, -1)
        return value if 0 <= value < size else None  # files write -1 or 2**32 - 1 for "none"

    def texts(self, key: str) -> list[str]:
        values: list[str] = self._get(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise _wrong(key)
        return values

    def integers(self, key: str) -> list[int]:
        return self._array(key, "iu").tolist()  # type: ignore[no-any-return]

    def numbers(self, key: str, size: int) -> list[float]:
        values = self._array(key, "f")
        if len(values) not in (0, size):
            raise _wrong(key)
        return values.tolist()  # type: ignore[no-any-return]

    def _array(self, key: str, kinds: str) -> NDArray[np.generic]:
        """Numbers of one of numpy's `kinds`."""
        values: NDArray[np.generic] = self._get(key, np.ndarray, np.empty(0, f"{kinds[0]}4"))
        if values.dtype.kind not in kinds:
            raise _wrong(key)
        return values

    def _get(self, key: str, kind: type[T], default: T) -> T:
        value = self._metadata.get(f"tokenizer.ggml.{key}", default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise _wrong(key)
        return value


def _wrong(key: str) -> ModelLoadError:
    return ModelLoadError(f"The model's tokenizer is damaged: {key} is not what it should be.")
