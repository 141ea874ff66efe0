"""Calls of tools told from the words around them, piece by piece.

However an answer is cut into pieces, its words joined and its calls are the same. White space in front of a call is a
part of it. Knows nothing of how calls came to be where they are.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Any

from backends.base import Done, Event, Text, TokenLogprob, ToolCalls
from backends.pytorch.tools import CLOSE, OPEN


async def with_calls(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """The events with `ToolCalls` in place of their texts. An answer that ends after a call has ended for that."""
    readers: dict[int, CallReader] = {}
    async for event in events:
        if isinstance(event, Text):
            for piece in readers.setdefault(event.index, CallReader(event.index)).feed(event):
                yield piece
        elif isinstance(event, Done):
            reader = readers.setdefault(event.index, CallReader(event.index))
            for piece in reader.finish():
                yield piece
            called = reader.called and event.finish_reason == "stop"
            yield replace(event, finish_reason="tool_calls") if called else event
        else:
            yield event


class CallReader:
    """Takes the texts of one choice, gives `Text` and `ToolCalls`."""

    def __init__(self, index: int = 0) -> None:
        self.called = False
        self._index = index
        self._held = ""  # may still be a call, or white space in front of one
        self._token_ids: list[int] = []  # of what is held, and of what was given since the last text
        self._logprobs: list[TokenLogprob] = []

    def feed(self, piece: Text) -> Iterator[Text | ToolCalls]:
        self._held += piece.text
        self._token_ids += piece.token_ids
        self._logprobs += piece.logprobs or ()
        while (found := _first_call(self._held)) is not None:
            words, call, self._held = found
            yield from self._said(words.rstrip())
            self.called = True
            self._token_ids, self._logprobs = [], []
            yield ToolCalls((call,), self._index)
        sure = self._held[: self._certain()].rstrip()
        self._held = self._held[len(sure) :]
        yield from self._said(sure)

    def finish(self) -> Iterator[Text]:
        """What was held back. A call that never became whole is words, and dropped where others were made."""
        held, self._held = self._held, ""
        if not self.called:
            yield from self._said(held)

    def _said(self, text: str) -> Iterator[Text]:
        if text:
            logprobs = tuple(self._logprobs) or None
            yield Text(text, tuple(self._token_ids), logprobs, self._index)
            self._token_ids, self._logprobs = [], []

    def _certain(self) -> int:
        """How many characters of what is held are words for sure."""
        if (start := self._held.find(OPEN)) >= 0:
            return start
        sizes = range(min(len(OPEN), len(self._held)), 0, -1)
        return len(self._held) - next((size for size in sizes if self._held.endswith(OPEN[:size])), 0)


def _first_call(text: str) -> tuple[str, dict[str, Any], str] | None:
    """The words before the first whole call, the call, and what follows. An argument may hold a closing mark."""
    before, opened, rest = text.partition(OPEN)
    end = rest.find(CLOSE) if opened else -1
    while end >= 0:
        if (call := _parse(rest[:end])) is not None:
            return before, call, rest[end + len(CLOSE) :]
        end = rest.find(CLOSE, end + 1)
    return None


def _parse(text: str) -> dict[str, Any] | None:
    """The call that is written so, with an id of its own."""
    try:
        call = json.loads(text)
    except ValueError:
        return None
    match call:
        case {"name": str() as name, "arguments": dict() as arguments}:
            return {"id": f"call_{secrets.token_hex(12)}", "name": name, "arguments": arguments}
    return None
