"""What OpenAI's answers have in common: who answers, what it took, and how an endpoint words it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from backends import base
from backends.base import Done, Event

FinishReason = Literal["stop", "length", "tool_calls"]


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens, those that had been computed before."""

    cached_tokens: int


class Usage(BaseModel):
    """How many tokens a request took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class Tally:
    """Adds up what the choices of a request took.

    The `n` choices of one prompt share it: it counts once, as it was for the one that was first to read it.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._prompts: dict[int, base.Usage] = {}
        self._written = 0

    def add(self, done: Done) -> None:
        """A choice has ended."""
        prompt = done.index // self._n
        known = self._prompts.get(prompt, done.usage)
        self._prompts[prompt] = min(known, done.usage, key=lambda usage: usage.cached_tokens)
        self._written += done.usage.completion_tokens

    def usage(self) -> Usage:
        """What it all took so far."""
        read = sum(usage.prompt_tokens for usage in self._prompts.values())
        cached = sum(usage.cached_tokens for usage in self._prompts.values())
        return Usage(
            prompt_tokens=read,
            completion_tokens=self._written,
            total_tokens=read + self._written,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
        )


@dataclass(slots=True, frozen=True)
class Head:
    """What all pieces of an answer say alike. `id` has no prefix; `created` is in seconds since 1970."""

    id: str
    created: int
    model: str


class Form(ABC):
    """How an endpoint words an answer: in pieces, or as a whole, but not both."""

    @abstractmethod
    def pieces(self, event: Event) -> Iterator[bytes]:
        """What a stream says of an event, as JSON."""

    @abstractmethod
    def rest(self) -> Iterator[bytes]:
        """What a stream says when every choice has ended."""

    @abstractmethod
    def take(self, event: Event) -> None:
        """Keep what an event tells, for the whole."""

    @abstractmethod
    def whole(self) -> bytes:
        """The answer as JSON, when every choice has ended."""


def finish_reason(done: Done) -> FinishReason:
    """Why a choice ended, in OpenAI's words."""
    reason = done.finish_reason
    return reason if reason == "length" or reason == "tool_calls" else "stop"
