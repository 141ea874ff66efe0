"""Finds where the values in a JSON text begin and end, by their brackets and quotes, without making anything of them.

So a large document is taken apart one conversation at a time, one that is broken or too large is passed over, and
neither memory nor the time in which nobody else runs grows with the whole. Whether a value is JSON inside is for the
parser to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

# A string, a bracket, or the quote of a string that never ends. Possessive: no string is gone through twice.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|"', re.DOTALL)
_SCALAR = re.compile(rb"[-+.0-9A-Za-z]+")
_SPACE = re.compile(rb"[ \t\r\n]*+")
_QUOTE, _OPENING = ord('"'), b"[{"


class Broken(ValueError):
    """The text is not JSON at byte `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(f"The document is not valid JSON at byte {at:,}.")
        self.at = at


@dataclass(slots=True, frozen=True)
class Span:
    """Where a value lies: bytes `start` up to `end`. `depth`: how deep it is. `parts`: its strings and brackets."""

    start: int
    end: int
    depth: int
    parts: int


def begin(data: bytes) -> int:
    """Where the document's value begins, behind a byte order mark and white space."""
    return _skip(data, 3 if data.startswith(b"\xef\xbb\xbf") else 0)


def elements(data: bytes, start: int) -> Iterator[Span]:
    """The values of the array that begins at `start`. Raises Broken."""
    at = _skip(data, start + 1)
    if data[at : at + 1] == b"]":
        return
    while True:
        span = value(data, at)
        yield span
        at = _skip(data, span.end)
        if data[at : at + 1] == b"]":
            return
        at = _skip(data, _expect(data, at, b","))


def members(data: bytes, start: int) -> Iterator[tuple[str, Span]]:
    """The keys and values of the object that begins at `start`. Raises Broken."""
    at = _skip(data, start + 1)
    if data[at : at + 1] == b"}":
        return
    while True:
        name = value(data, at)
        colon = _skip(data, name.end)
        span = value(data, _skip(data, _expect(data, colon, b":")))
        yield _key(data, name), span
        at = _skip(data, span.end)
        if data[at : at + 1] == b"}":
            return
        at = _skip(data, _expect(data, at, b","))


def value(data: bytes, start: int) -> Span:
    """The value that begins at `start`. Raises Broken."""
    if scalar := _SCALAR.match(data, start):
        return Span(start, scalar.end(), 0, 1)
    depth = deepest = 0
    for parts, token in enumerate(_TOKEN.finditer(data, start), 1):
        at = token.start()
        first = data[at]
        if parts == 1 and at != start:
            break
        if first == _QUOTE:
            if token.end() == at + 1:
                raise Broken(at)
        elif first in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
        if depth <= 0:
            return Span(start, token.end(), deepest, parts)
    raise Broken(start)


def _key(data: bytes, span: Span) -> str:
    if data[span.start] != _QUOTE:
        raise Broken(span.start)
    try:
        return str(orjson.loads(data[span.start : span.end]))
    except orjson.JSONDecodeError:
        return ""  # a name that is no text is none that anybody looks for


def _skip(data: bytes, at: int) -> int:
    space = _SPACE.match(data, at)
    assert space is not None
    return space.end()


def _expect(data: bytes, at: int, mark: bytes) -> int:
    if data[at : at + 1] != mark:
        raise Broken(at)
    return at + 1
