"""`/v1/completions`: what is asked for. The model goes on from a text, or from several, without a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from backends.base import GenerationRequest
from server.openai.answers import Form, Head
from server.openai.completion_answers import CompletionForm
from server.openai.errors import BadRequest
from server.openai.requests import UNSUPPORTED, AnswerRequest

MOST_PROMPTS = 128
MOST_ANSWERS = 256  # of one request, all prompts together
MOST_TOKENS = 1_000_000

Prompt = str | tuple[int, ...]

_SHAPES = "should be a text, a list of texts, a list of token ids, or a list of such lists, and none of them empty"
_TEXT = {"type": "string", "minLength": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_PROMPTS_SCHEMA = {"anyOf": [_TEXT, _IDS, *({"type": "array", "items": each, "minItems": 1} for each in (_TEXT, _IDS))]}


def _prompts(value: object) -> list[Prompt]:
    if isinstance(value, str) or _is_ids(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise PydanticCustomError("prompts", _SHAPES)
    if len(value) > MOST_PROMPTS:
        raise PydanticCustomError("prompts", "should be {most} prompts at most", {"most": MOST_PROMPTS})
    if all(isinstance(prompt, str) and prompt for prompt in value):
        return value
    if all(_is_ids(prompt) for prompt in value):
        return [tuple(prompt) for prompt in value]
    raise PydanticCustomError("prompts", _SHAPES)


def _is_ids(value: object) -> bool:
    """bool counts as int in Python, but not here."""
    return isinstance(value, list) and bool(value) and all(type(each) is int and 0 <= each < 2**31 for each in value)


def _no_suffix(value: object) -> None:
    if value:
        raise PydanticCustomError(UNSUPPORTED, "Nothing can be written in front of a text that is there already")


class CompletionRequest(AnswerRequest):
    """Go on from a text. The model sees it as it is, without a chat template."""

    prompt: Annotated[list[Prompt], PlainValidator(_prompts), WithJsonSchema(_PROMPTS_SCHEMA)]
    max_tokens: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 16
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: bool = False
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: Annotated[None, PlainValidator(_no_suffix), WithJsonSchema({"type": "null"})] = None

    def check(self) -> None:
        super().check()
        if self.best_of not in (None, self.n):
            raise BadRequest("best_of: Answers are not ranked here. Leave it out, or make it n.", "best_of")
        if len(self.prompt) * self.n > MOST_ANSWERS:
            raise BadRequest(f"n: With so many prompts, that is more than {MOST_ANSWERS} answers.", "n")
        if self.echo and self.logprobs is not None:
            raise BadRequest("echo: The probabilities of a prompt are not known. Leave out echo or logprobs.", "echo")
        if self.echo and not self.texts:
            raise BadRequest("echo: A prompt of token ids cannot be given back as text.", "echo")

    @property
    def texts(self) -> Sequence[str]:
        """The prompts, where they are texts."""
        return [prompt for prompt in self.prompt if isinstance(prompt, str)]

    def requests(self, identity: str, model: str, fairness_key: str) -> list[GenerationRequest]:
        """One for each prompt."""
        several = len(self.prompt) > 1
        return [
            GenerationRequest(
                request_id=f"{identity} prompt {number}" if several else identity,
                model=model,
                prompt=prompt if isinstance(prompt, str) else None,
                token_ids=None if isinstance(prompt, str) else prompt,
                params=self.params(self.max_tokens),
                n=self.n,
                logprobs=self.logprobs,
                fairness_key=fairness_key,
            )
            for number, prompt in enumerate(self.prompt)
        ]

    def form(self, head: Head) -> Form:
        """Their form in completions."""
        echoed = self.texts if self.echo else [""] * len(self.prompt)
        return CompletionForm(
            head, [text for text in echoed for _ in range(self.n)], self.n, self.logprobs, self.include_usage
        )
