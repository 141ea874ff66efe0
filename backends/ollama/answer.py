"""The lines of Ollama's answers as our events. Does no I/O.

Any field of a line may be missing, of another type or unknown; the last line may carry text, thinking and tool calls
like every other; `done` may be missing where `done_reason` stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal
from uuid import uuid4

from backends.base import (
    Event,
    Reasoning,
    Text,
    ToolCalls,
    Usage,
)
from backends.calls import cut_off
from backends.fields import JsonObject, count_at, text_at
from backends.http import error_text
from backends.ollama.client import NAME
from backends.ollama.errors import broke
from backends.think_tags import ThinkTagSplitter
from backends.tool_arguments import read_arguments, unreadable_call

NANOSECONDS = 1e9


class Answer:
    """Folds the lines of one answer into events.

    `split_tags`: the server was not told how to think, so thinking may come inside the text, between tags.
    """

    def __init__(self, model: str, *, split_tags: bool) -> None:
        self._model = model
        self._splitter = ThinkTagSplitter() if split_tags else None
        self._done_reason: str | None = None
        self._called = False
        self.begun = False  # the first line was seen
        self.done = False  # the last one was
        self.first_piece_at: float | None = None  # on the monotonic clock
        self.usage = Usage()
        self.tokens_per_second: float | None = None

    def feed(self, line: JsonObject) -> Iterator[Event]:
        """The events of one line. Raises a BackendError for an error line."""
        self.begun = True
        if line.get("error"):
            raise broke(error_text(line), self._model)
        for event in self._pieces(line):
            self.first_piece_at = self.first_piece_at or time.monotonic()
            yield event
        self._note_end(line)

    def _pieces(self, line: JsonObject) -> Iterator[Event]:
        message = line.get("message")
        source = message if isinstance(message, dict) else line
        if thinking := text_at(source, "thinking"):
            yield Reasoning(thinking)
        if content := text_at(source, "content") or text_at(line, "response"):
            yield from self._splitter.feed(content) if self._splitter else (Text(content),)
        if calls := source.get("tool_calls"):
            self._called = True
            yield ToolCalls(tuple(_tool_calls(calls)))

    def finish(self) -> Iterator[Event]:
        """What was held back, when the body has ended. Raises BackendFailed when the answer is not complete."""
        yield from self.release()
        if not self.done and self._done_reason is None:
            raise cut_off(NAME)

    def release(self) -> Iterator[Event]:
        """What was held back, when nothing more will come."""
        if self._splitter:
            yield from self._splitter.finish()

    @property
    def only_loaded(self) -> bool:
        """Whether the model was loaded and nothing more, which is the answer to a request that asks nothing."""
        return self._done_reason == "load" and self.first_piece_at is None

    @property
    def finish_reason(self) -> Literal["stop", "length", "tool_calls"]:
        if self._done_reason == "length":
            return "length"
        return "tool_calls" if self._called else "stop"

    def _note_end(self, line: JsonObject) -> None:
        self.done = self.done or line.get("done") is True
        reason = line.get("done_reason")
        if isinstance(reason, str) and reason:
            self._done_reason = reason
        if "eval_count" in line or "prompt_eval_count" in line:
            tokens = count_at(line, "eval_count")
            self.usage = Usage(prompt_tokens=count_at(line, "prompt_eval_count"), completion_tokens=tokens)
            seconds = count_at(line, "eval_duration") / NANOSECONDS
            self.tokens_per_second = tokens / seconds if tokens and seconds else None


def _tool_calls(calls: object) -> Iterator[dict[str, object]]:
    """Calls as the seam has them. Ollama's arguments are an object, those of servers like it a string of JSON."""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not text_at(function, "name"):
            raise unreadable_call()
        yield {
            "id": text_at(call, "id") or f"call_{uuid4().hex[:16]}",
            "name": text_at(function, "name"),
            "arguments": read_arguments(function.get("arguments")),
        }
