"""What is told of an answer, line by line, in the forms of `/api/chat` and of `/api/generate`.

A form knows how text, thinking and calls are laid out; the rest of a line is the same in both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.base import BackendFailed, Done, Event, Reasoning, Text, TokenLogprob, ToolCalls
from server.ollama.lines import created_at
from server.ollama.stopwatch import Stopwatch

Line = dict[str, object]


@dataclass(slots=True)
class Piece:
    """A part of an answer, or all of it."""

    text: str = ""
    thinking: str = ""
    calls: list[dict[str, object]] = field(default_factory=list)
    logprobs: list[dict[str, object]] = field(default_factory=list)

    def add(self, other: Piece) -> None:
        """Put another piece behind this one."""
        self.text += other.text
        self.thinking += other.thinking
        self.calls += other.calls
        self.logprobs += other.logprobs


class Form(ABC):
    """How an answer by the model of that name, as it was asked for, is laid out."""

    def __init__(self, model: str) -> None:
        self._model = model

    def line(self, piece: Piece) -> Line:
        """More of the answer."""
        return {**self._head(), **self._body(piece), "done": False, **_logprobs(piece)}

    def last(self, reason: str, metrics: Mapping[str, int], piece: Piece | None = None) -> Line:
        """The last line, with what is left of the answer; by default, nothing is."""
        piece = piece or Piece()
        end = {"done": True, "done_reason": reason, **metrics}
        return {**self._head(), **self._body(piece), **end, **_logprobs(piece)}

    def _head(self) -> Line:
        return {"model": self._model, "created_at": created_at()}

    @abstractmethod
    def _body(self, piece: Piece) -> Line:
        """Where a piece stands in a line."""


class ChatForm(Form):
    """`/api/chat`: a message."""

    def _body(self, piece: Piece) -> Line:
        message: Line = {"role": "assistant", "content": piece.text}
        if piece.thinking:
            message["thinking"] = piece.thinking
        if piece.calls:
            message["tool_calls"] = piece.calls
        return {"message": message}


class GenerateForm(Form):
    """`/api/generate`: a text."""

    def _body(self, piece: Piece) -> Line:
        return {"response": piece.text, **({"thinking": piece.thinking} if piece.thinking else {})}


class Teller:
    """Makes lines of an answer's events."""

    def __init__(self, form: Form, stopwatch: Stopwatch) -> None:
        self._form = form
        self._stopwatch = stopwatch
        self._calls = 0

    def lines(self, event: Event) -> Iterator[Line]:
        """What a stream says of an event."""
        self._stopwatch.see(event)
        if isinstance(event, Done):
            yield self._last(event)
        elif (piece := self._piece(event)) is not None:
            yield self._form.line(piece)

    async def whole(self, events: AsyncIterator[Event]) -> Line:
        """The one line that says it all."""
        whole = Piece()
        async for event in events:
            self._stopwatch.see(event)
            if isinstance(event, Done):
                return self._last(event, whole)
            if (piece := self._piece(event)) is not None:
                whole.add(piece)
        raise BackendFailed("The answer had no end. Try again.")

    def _last(self, done: Done, whole: Piece | None = None) -> Line:
        """The last line. Ollama's reason for an end in a tool's call is `stop`, too."""
        reason = "length" if done.finish_reason == "length" else "stop"
        return self._form.last(reason, self._stopwatch.metrics(done), whole)

    def _piece(self, event: Event) -> Piece | None:
        match event:
            case Text(text, _, logprobs) if text or logprobs:
                return Piece(text, logprobs=[_logprob(token) for token in logprobs or ()])
            case Reasoning(text) if text:
                return Piece(thinking=text)
            case ToolCalls(calls):
                return Piece(calls=[self._call(call) for call in calls])
        return None

    def _call(self, call: Mapping[str, Any]) -> dict[str, object]:
        self._calls += 1
        function = {"index": self._calls - 1, "name": call["name"], "arguments": call["arguments"]}
        return {"id": call["id"], "function": function}


def _logprobs(piece: Piece) -> Line:
    return {"logprobs": piece.logprobs} if piece.logprobs else {}


def _logprob(token: TokenLogprob) -> dict[str, object]:
    return {**_probability(token), "top_logprobs": [_probability(other) for other in token.top]}


def _probability(token: TokenLogprob) -> dict[str, object]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.data)}
