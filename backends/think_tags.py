"""Thinking told from the answer by its tags, piece by piece. Knows nothing of who sent the text.

Servers that do not part the two leave `<think>…</think>` at the head of the answer. Only there are the tags taken for
what they are: further on they are words, as in an answer about the tags themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from backends.base import Reasoning, Text

OPEN, CLOSE = "<think>", "</think>"


class _State(Enum):
    HEAD = auto()  # nothing but white space, or part of the opening tag, so far
    THINKING = auto()
    GAP = auto()  # the white space between the closing tag and the answer
    ANSWER = auto()


class ThinkTagSplitter:
    """Takes pieces of text, gives `Reasoning` and `Text`. The white space around the tags belongs to neither.

    However the text is cut into pieces, the reasoning joined and the text joined are the same.
    """

    def __init__(self) -> None:
        self._state = _State.HEAD
        self._held = ""  # may still turn out to be part of a tag, or the white space before one
        self._thought = False  # some reasoning was given out: white space is no longer leading

    def feed(self, text: str) -> Iterator[Text | Reasoning]:
        self._held += text
        if self._state is _State.HEAD:
            self._look_for_opening()
        if self._state is _State.THINKING:
            yield from self._think()
        if self._state is _State.GAP:
            self._held = self._held.lstrip()
            if self._held:
                self._state = _State.ANSWER
        if self._state is _State.ANSWER and self._held:
            yield Text(self._release())

    def finish(self) -> Iterator[Text | Reasoning]:
        """What was held back: a tag that never became whole is what it was in."""
        held = self._release()
        if held and self._state is _State.THINKING:
            yield Reasoning(held)
        elif held and self._state is not _State.GAP:
            yield Text(held)

    def _look_for_opening(self) -> None:
        head = self._held.lstrip()
        if head.startswith(OPEN):
            self._held = head.removeprefix(OPEN)
            self._state = _State.THINKING
        elif not OPEN.startswith(head):
            self._state = _State.ANSWER

    def _think(self) -> Iterator[Reasoning]:
        if not self._thought:
            self._held = self._held.lstrip()
        thinking, closed, rest = self._held.partition(CLOSE)
        if closed:
            self._state = _State.GAP
            self._held = rest
            thinking = thinking.rstrip()
        else:
            thinking = thinking[: len(thinking) - _overlap(thinking)].rstrip()
            self._held = self._held[len(thinking) :]
        if thinking:
            self._thought = True
            yield Reasoning(thinking)

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held


def _overlap(text: str) -> int:
    """How many characters at the end of `text` the closing tag may begin with."""
    return next((size for size in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:size])), 0)
