"""Text to token ids by the rules of a `tokenizer.json`, in place of those that a model's own file names.

For files whose rules are missing or wrong. The tokens themselves stay the model's: a `tokenizer.json` that has others
belongs to another model.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer

from engine.byte_level import encode_unlocked
from engine.errors import ModelLoadError
from engine.text_model import TextModel
from engine.vocabulary import Vocabulary


class TokenizerJSON:
    """A text model that cuts text as the file at `path` says; what a token says is left to `own`, the model's."""

    begins_with_space = False

    def __init__(self, path: Path, vocabulary: Vocabulary, own: TextModel) -> None:
        """Raises ModelLoadError if the file cannot be used with these tokens."""
        if own.begins_with_space:
            raise ModelLoadError(f"{path.name} cannot be used: only byte-level tokenizers can be replaced.")
        self._fast = _read(path)
        self._fast.encode_special_tokens = True  # their texts are plain text here
        _check_tokens(path.name, self._fast, vocabulary)
        self._own = own

    def encode(self, text: str) -> list[int]:
        """Ids of a text without special tokens."""
        return encode_unlocked(self._fast, text)

    def token_bytes(self, token_id: int) -> bytes:
        """What a normal or user-defined token says."""
        return self._own.token_bytes(token_id)


def _read(path: Path) -> FastTokenizer:
    if not path.is_file():
        raise ModelLoadError(f"There is no tokenizer file {path.name}.")
    try:
        return FastTokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise ModelLoadError(f"{path.name} is not a tokenizer.json that can be read.") from error


def _check_tokens(name: str, fast: FastTokenizer, vocabulary: Vocabulary) -> None:
    own = vocabulary.tokens
    for text, token_id in fast.get_vocab(with_added_tokens=True).items():
        if token_id >= len(own) or own[token_id] != text:
            raise ModelLoadError(f"{name} belongs to another model: its token {token_id} is {text[:40]!r}.")
