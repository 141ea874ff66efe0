"""`/v1/completions`: the answer, whole or in pieces of the same form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from backends.base import Done, Event, Text
from server.openai.answers import Form, Head, Tally, Usage, finish_reason
from server.openai.logprobs import CompletionLogprobs, CompletionTokens, joined


class CompletionChoice(BaseModel):
    """The answer's text or, in a stream, a piece of it. Only the last piece has a reason for its end."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class Completion(BaseModel):
    """An answer, or an event of its stream. Without choices it is the event that tells the usage."""

    id: str
    object: Literal["text_completion"]
    created: int  # seconds since 1970
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


@dataclass(slots=True)
class _Kept:
    """What has come of one choice. `echo` is what it begins with."""

    echo: str
    tokens: CompletionTokens
    texts: list[str] = field(default_factory=list)
    logprobs: list[CompletionLogprobs] = field(default_factory=list)
    done: Done | None = None


class CompletionForm(Form):
    """Words one answer."""

    def __init__(
        self, head: Head, echoes: Sequence[str], n: int, logprobs: int | None = None, include_usage: bool = False
    ) -> None:
        """`echoes`: for each choice, what it begins with. `n`: choices of one prompt. `logprobs`: as asked for."""
        self._head = head
        self._kept = [_Kept(echo, CompletionTokens(logprobs or 0, len(echo))) for echo in echoes]
        self._tally = Tally(n)
        self._include_usage = include_usage

    def pieces(self, event: Event) -> Iterator[bytes]:
        """More of a choice's text, or its end. Where the usage comes last, each piece says that it has none yet."""
        if not isinstance(event, Text | Done):
            return
        kept = self._kept[event.index]
        if kept.echo:
            yield self._encoded(_choice(event.index, kept.echo))
            kept.echo = ""
        if isinstance(event, Text):
            yield self._encoded(_choice(event.index, event.text, self._logprobs(event)))
        else:
            self._tally.add(event)
            yield self._encoded(_choice(event.index, "", done=event))

    def rest(self) -> Iterator[bytes]:
        """The usage, if it was asked for."""
        if self._include_usage:
            yield self._answer([], usage=self._tally.usage()).model_dump_json().encode()

    def take(self, event: Event) -> None:
        """Only the text is the text: of a model's thinking, there is nothing in a completion."""
        if isinstance(event, Text):
            kept = self._kept[event.index]
            kept.texts.append(event.text)
            if (logprobs := self._logprobs(event)) is not None:
                kept.logprobs.append(logprobs)
        elif isinstance(event, Done):
            self._kept[event.index].done = event
            self._tally.add(event)

    def whole(self) -> bytes:
        """All choices, and what they took."""
        choices = [
            _choice(index, kept.echo + "".join(kept.texts), joined(kept.logprobs) if kept.logprobs else None, kept.done)
            for index, kept in enumerate(self._kept)
        ]
        return self._answer(choices, usage=self._tally.usage()).model_dump_json().encode()

    def _logprobs(self, event: Text) -> CompletionLogprobs | None:
        if event.logprobs is None:
            return None
        return self._kept[event.index].tokens.word(event.text, event.logprobs)

    def _encoded(self, choice: CompletionChoice) -> bytes:
        return self._answer([choice]).model_dump_json(exclude=None if self._include_usage else {"usage"}).encode()

    def _answer(self, choices: list[CompletionChoice], usage: Usage | None = None) -> Completion:
        return Completion(
            id=f"cmpl-{self._head.id}",
            object="text_completion",
            created=self._head.created,
            model=self._head.model,
            choices=choices,
            usage=usage,
        )


def _choice(
    index: int, text: str, logprobs: CompletionLogprobs | None = None, done: Done | None = None
) -> CompletionChoice:
    reason: Literal["stop", "length"] | None = None
    if done is not None:
        reason = "length" if finish_reason(done) == "length" else "stop"
    return CompletionChoice(text=text, index=index, logprobs=logprobs, finish_reason=reason)
