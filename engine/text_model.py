"""What turns text without special tokens into ids, whatever the kind of tokenizer."""

from __future__ import annotations

from typing import Protocol


class TextModel(Protocol):
    """How text without special tokens becomes ids, and what a token says."""

    begins_with_space: bool  # whether a text is given a space in front, which decoding takes off again

    def encode(self, text: str) -> list[int]: ...

    def token_bytes(self, token_id: int) -> bytes: ...
