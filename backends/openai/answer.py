"""The chunks of an OpenAI-compatible server's answer as our events. Does no I/O.

Any field of a chunk may be missing, null or of another type. Reasoning comes by two names or between tags, the usage
with the last piece, after it or never; an answer is whole when a reason for its end has come, or the word that ends
the stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from backends.base import (
    BackendFailed,
    Event,
    Progress,
    Reasoning,
    Text,
    TokenLogprob,
    ToolCalls,
    Usage,
)
from backends.calls import cut_off
from backends.fields import JsonObject, count_at, object_at, objects_at, text_at
from backends.openai.client import NAME
from backends.openai.errors import broke
from backends.openai.logprobs import NO_ID, read_logprobs
from backends.openai.tool_fragments import ToolFragments
from backends.think_tags import ThinkTagSplitter

_LENGTH = ("length", "max_tokens", "model_length")
_CALLED = ("tool_calls", "function_call")
_FAILED = {
    "content_filter": "The model server's filter stopped the answer. Ask in another way.",
    "error": "The model server failed in mid-answer. Try again.",
    "abort": "The model server broke the answer off. Try again.",
}


class Answer:
    """Folds the chunks of one answer into events.

    `split_tags`: thinking may come inside the text, between tags.
    """

    def __init__(self, model: str, *, split_tags: bool) -> None:
        self._model = model
        self._splitter = ThinkTagSplitter() if split_tags else None
        self._calls = ToolFragments()
        self._logprobs: list[TokenLogprob] = []  # of text that is held back
        self._reason = ""
        self.begun = False  # something of the answer was seen
        self.done = False  # the word that ends the stream was
        self.first_piece_at: float | None = None  # on the monotonic clock
        self.last_piece_at = 0.0
        self.usage = Usage()
        self._speed: float | None = None  # as the server measured it

    @property
    def whole(self) -> bool:
        """Whether nothing of the answer itself is still to come."""
        return self.done or bool(self._reason)

    def feed(self, chunk: JsonObject) -> Iterator[Event]:
        """The events of one chunk. Raises a BackendError for an error."""
        if chunk.get("error") or chunk.get("object") == "error":
            raise broke(chunk, self._model)
        self.done = self.done or chunk.get("done") is True
        self._note_figures(chunk)
        for choice in objects_at(chunk, "choices"):
            if choice.get("index"):
                continue  # one was asked for, and it has the index 0, or none
            for event in self._pieces(choice):
                self.begun = True
                self.last_piece_at = time.monotonic()
                self.first_piece_at = self.first_piece_at or self.last_piece_at
                yield event
            self._reason = text_at(choice, "finish_reason") or self._reason

    def finish(self) -> Iterator[Event]:
        """What was held back, when the body has ended. Raises BackendFailed for an answer that is not a good one."""
        yield from self.release()
        if not self.whole:
            raise cut_off(NAME)
        if self._reason in _FAILED:
            raise BackendFailed(_FAILED[self._reason])
        if self._calls:
            yield from self._called()

    def release(self) -> Iterator[Event]:
        """The text that was held back, when nothing more will come."""
        if self._splitter:
            yield from self._tell(self._splitter.finish())
        if self._logprobs:
            yield self._text("")

    @property
    def finish_reason(self) -> Literal["stop", "length", "tool_calls"]:
        if self._reason in _LENGTH:
            return "length"
        return "tool_calls" if self._calls or self._reason in _CALLED else "stop"

    @property
    def tokens_per_second(self) -> float | None:
        """While it was written."""
        seconds = self.last_piece_at - (self.first_piece_at or self.last_piece_at)
        told = (self.usage.completion_tokens - 1) / seconds if seconds and self.usage.completion_tokens > 1 else None
        return self._speed or told

    def _pieces(self, choice: JsonObject) -> Iterator[Event]:
        delta = object_at(choice, "delta") or object_at(choice, "message") or choice
        if thinking := text_at(delta, "reasoning") or text_at(delta, "reasoning_content"):
            yield from self._parted()
            yield Reasoning(thinking)
        self._logprobs += read_logprobs(choice.get("logprobs"))
        content = text_at(delta, "content") or text_at(delta, "text") or text_at(delta, "refusal")
        if content:
            yield from self._tell(self._splitter.feed(content)) if self._splitter else (self._text(content),)
        for fragment in objects_at(delta, "tool_calls"):
            self._calls.feed(fragment)
            yield Progress("decoding")  # a sign of life: the call itself comes when it is whole

    def _parted(self) -> Iterator[Event]:
        """The server parts thinking from the answer itself: from now on, tags are words."""
        if self._splitter:
            yield from self._tell(self._splitter.finish())
            self._splitter = None

    def _tell(self, pieces: Iterator[Text | Reasoning]) -> Iterator[Event]:
        for piece in pieces:
            if isinstance(piece, Reasoning):
                self._logprobs.clear()
            yield self._text(piece.text) if isinstance(piece, Text) else piece

    def _text(self, text: str) -> Text:
        told, self._logprobs = tuple(self._logprobs), []
        ids = tuple(token.token_id for token in told)
        return Text(text, token_ids=() if NO_ID in ids else ids, logprobs=told or None)

    def _called(self) -> Iterator[Event]:
        try:
            yield ToolCalls(self._calls.finish())
        except BackendFailed:
            if self.finish_reason != "length":  # else it is no wonder that the last one is not whole
                raise

    def _note_figures(self, chunk: JsonObject) -> None:
        usage, timings = object_at(chunk, "usage"), object_at(chunk, "timings")
        if timings:
            speed = timings.get("predicted_per_second")
            self._speed = float(speed) if isinstance(speed, int | float) and speed > 0 else None
            cached = count_at(timings, "cache_n")
            self.usage = Usage(cached + count_at(timings, "prompt_n"), cached, count_at(timings, "predicted_n"))
        if usage:
            details = object_at(usage, "prompt_tokens_details")
            cached = count_at(details, "cached_tokens") or count_at(usage, "prompt_cache_hit_tokens")
            self.usage = Usage(count_at(usage, "prompt_tokens"), cached, count_at(usage, "completion_tokens"))
