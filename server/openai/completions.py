"""`/v1/completions` on the wire: what is asked for, and the answer, whole or in pieces of the same form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from backends.base import Done
from server.openai.answers import Usage
from server.openai.requests import AnswerRequest


class CompletionRequest(AnswerRequest):
    """Go on from a text. The model sees it as it is, without a chat template."""

    prompt: Annotated[str, Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 16

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_text(cls, value: object) -> object:
        if isinstance(value, list):
            raise PydanticCustomError("unsupported", "Lists, of texts or of token ids, are not supported yet")
        return value


class CompletionChoice(BaseModel):
    """The answer's text or, in a stream, a piece of it. Only the last piece has a reason for its end."""

    text: str
    index: int = 0
    logprobs: None = None
    finish_reason: Literal["stop", "length"] | None = None


class Completion(BaseModel):
    """An answer, or an event of its stream. Without choices it is the event that tells the usage."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int  # seconds since 1970
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


@dataclass(slots=True, frozen=True)
class Completing:
    """The answer that is being made: what all of its pieces say alike."""

    id: str
    created: int
    model: str

    def piece(self, text: str) -> Completion:
        """More of the text."""
        return self._with(CompletionChoice(text=text))

    def end(self, done: Done, text: str = "") -> Completion:
        """The last of the text, and why it is the last."""
        reason: Literal["stop", "length"] = "length" if done.finish_reason == "length" else "stop"
        return self._with(CompletionChoice(text=text, finish_reason=reason))

    def whole(self, done: Done, text: str) -> Completion:
        """All of the text, and what it took."""
        return self.end(done, text).model_copy(update={"usage": Usage.of(done.usage)})

    def usage(self, done: Done) -> Completion:
        """What it took."""
        return self._with(usage=Usage.of(done.usage))

    def _with(self, *choices: CompletionChoice, usage: Usage | None = None) -> Completion:
        return Completion(id=self.id, created=self.created, model=self.model, choices=list(choices), usage=usage)
