"""Keeps what a person wrote apart from a model's control tokens.

A control token is a text, such as <|im_end|>, that the model reads as one id. A chat template writes such texts among
what people wrote, so before it runs, every one in people's words is broken by a mark that nobody wrote; what is
found whole in the template's result is the template's own. Knows nothing of tokenizers or templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_FILLER = "\ufdd0"  # Unicode keeps it out of all text; a run of it longer than any in the text marks a place for sure


class SpecialTokens:
    """Finds the texts of some tokens in a text, the longest first. A single character is too common to be one."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = {text: token_id for text, token_id in ids.items() if len(text) > 1}
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def split(self, text: str) -> Iterator[str | int]:
        """The text in pieces: the id where a token's text is found, the text in between where it is not empty."""
        position = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            if match.start() > position:
                yield text[position : match.start()]
            yield self._ids[match.group()]
            position = match.end()
        if position < len(text):
            yield text[position:]

    def broken(self, values: Mapping[str, object], mark: str) -> dict[str, object]:
        """A copy of `values`, a tree of JSON, with `mark` put into every text of a token, after its first character.

        Also into those that begin within another. Lone surrogates become U+FFFD.
        """
        return {key: self._break(item, mark) for key, item in values.items()}

    def _break(self, value: object, mark: str) -> object:
        if isinstance(value, str):
            return self._break_text(well_formed(value), mark)
        if isinstance(value, Mapping):
            return {self._break(key, mark): self._break(item, mark) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self._break(item, mark) for item in value]
        return value

    def _break_text(self, text: str, mark: str) -> str:
        pieces: list[str] = []
        position = 0
        while self._pattern and (match := self._pattern.search(text, position)):
            pieces.append(text[position : match.start() + 1])
            position = match.start() + 1
        return mark.join([*pieces, text[position:]])


def unused_mark(value: object) -> str:
    """A text that appears nowhere in `value`, a tree of JSON values."""
    runs = re.findall(f"{_FILLER}+", "".join(_texts(value)))
    return _FILLER * (1 + max(map(len, runs), default=0))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def well_formed(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates replaced by U+FFFD: text that UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
