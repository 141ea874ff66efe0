"""Keeps a message's Markdown from leaving its place in a larger document.

Its headings go below those of the document, fences are closed and longer than what they hold, and HTML is shown
instead of meant. Takes time that grows with the message, whatever is in it. Knows nothing of conversations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.exchange.fences import longest_run

NESTED_LINES = 20_000  # looked through for fences in fences, in one message
MARKDOWN = {"", "md", "markdown"}
_FENCE = re.compile(r"(\s*)(`{3,}|~{3,})\s*([^`]*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=\s|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*")
_MARKED = re.compile(r"\s*(?:[-*+>#|]|\d+[.)]\s)")  # a line that is more than a paragraph's
_TAG = re.compile(r"<(?!(?:https?|mailto):[^\s<>]*>)(?=[A-Za-z/!?])")
_TICKS = re.compile(r"`+")
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def contained(text: str, shift: int) -> str:
    """`text` as a part of a document whose own headings have up to `shift` levels."""
    return "\n".join(_Containment(text, shift).lines())


def plain(text: str) -> str:
    """One line of text in which nothing is Markdown."""
    return _SPECIAL.sub(r"\\\1", text)


class _Containment:
    def __init__(self, text: str, shift: int) -> None:
        self._lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._shift = shift
        self._left = NESTED_LINES

    def lines(self) -> Iterator[str]:
        at, paragraph = 0, 0
        while at < len(self._lines):
            if opening := _FENCE.fullmatch(self._lines[at]):
                yield from self._prose(self._lines[paragraph:at])
                end, fence = self._end(at, opening)
                yield f"{opening[1]}{fence}{opening[3]}".rstrip()
                yield from self._lines[at + 1 : end]
                yield f"{opening[1]}{fence}"
                at = paragraph = end + 1
            else:
                at += 1
        yield from self._prose(self._lines[paragraph:])

    def _end(self, at: int, opening: re.Match[str]) -> tuple[int, str]:
        """The line of the fence that closes the one at line `at`, or behind the last; and how long both must be."""
        fence = opening[2]
        if opening[3].strip().lower() in MARKDOWN and (nested := self._nested_end(at, fence)):
            return nested, fence[0] * (longest_run("\n".join(self._lines[at + 1 : nested]), fence[0]) + 1)
        for number in range(at + 1, len(self._lines)):
            if self._closes(number, fence):
                return number, fence
        return len(self._lines), fence

    def _nested_end(self, at: int, fence: str) -> int | None:
        """The line that closes `fence` where others inside are opened by name and closed as well, or None."""
        depth = deepest = 1
        for number in range(at + 1, min(len(self._lines), at + 1 + self._left)):
            self._left -= 1
            inner = _FENCE.fullmatch(self._lines[number])
            if inner is None or inner[2][0] != fence[0]:
                continue
            depth += 1 if inner[3].strip() else -1
            deepest = max(deepest, depth)
            if depth == 0:
                return number if deepest > 1 else None
        return None

    def _closes(self, number: int, fence: str) -> bool:
        found = _FENCE.fullmatch(self._lines[number])
        return found is not None and found[2].startswith(fence) and not found[3].strip()

    def _prose(self, lines: list[str]) -> Iterator[str]:
        start = 0
        for number in range(len(lines) + 1):
            if number == len(lines) or not lines[number].strip():
                paragraph = _shown("\n".join(lines[start:number])).split("\n") if number > start else []
                yield from self._headings(paragraph)
                if number < len(lines):
                    yield ""
                start = number + 1

    def _headings(self, paragraph: list[str]) -> Iterator[str]:
        for number, line in enumerate(paragraph):
            below = _UNDERLINE.fullmatch(paragraph[number + 1]) if number + 1 < len(paragraph) else None
            if heading := _HEADING.match(line):
                yield "#" * min(6, len(heading[1]) + self._shift) + line[heading.end() :]
            elif number and _UNDERLINE.fullmatch(line) and not _MARKED.match(paragraph[number - 1]):
                if number > 1:  # the heading would have been the whole paragraph
                    yield ""
                    yield line
            elif below and number == 0 and not _MARKED.match(line):
                yield "#" * min(6, (1 if below[1][0] == "=" else 2) + self._shift) + " " + line.strip()
            else:
                yield line


def _shown(paragraph: str) -> str:
    """The paragraph with its tags shown and not meant, but for those in code, which are shown anyway."""
    runs = list(_TICKS.finditer(paragraph))
    following: dict[int, int] = {}  # for each length, the next run of that length
    closing: list[int | None] = [None] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        closing[number] = following.get(len(runs[number][0]))
        following[len(runs[number][0])] = number
    parts, at, number = [], 0, 0
    while number < len(runs):
        end = closing[number]
        if end is not None:
            parts.append(_TAG.sub("&lt;", paragraph[at : runs[number].start()]))
            parts.append(paragraph[runs[number].start() : runs[end].end()])
            at, number = runs[end].end(), end
        number += 1
    parts.append(_TAG.sub("&lt;", paragraph[at:]))
    return "".join(parts)
