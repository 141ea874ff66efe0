"""What OpenAI's requests have in common: how to sample and how to answer, and how a body is read.

Every field is done or refused by its name; nothing is passed over. `null` is as good as leaving a field out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from backends.base import GenerationRequest, Params
from server.openai.answers import Form, Head
from server.openai.errors import BadRequest

DEFAULT_MODEL = "default"  # what programs say that have to name a model, and do not care
SHOWN = 80  # characters of a name that somebody else chose
MOST_CHOICES = 10
KINDS = {"system", "developer", "user", "assistant", "tool"}  # of messages, by their roles
UNSUPPORTED = "unsupported"  # the type of what a validator of ours refuses, as pydantic's errors tell it

Stop = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=16)]
TokenId = Annotated[str, Field(pattern=r"^\d{1,9}$")]
LogitBias = Annotated[dict[TokenId, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class Strict(BaseModel):
    """An object of which every field is known, and of the type it should be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in cls.model_fields}


class StreamOptions(Strict):
    """How to stream. Pieces are never padded to hide their length, so that can only be declined."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class AnswerRequest(Strict):
    """What every request for an answer may say. Left alone, it draws from all that the model holds possible."""

    model: Annotated[str, Field(max_length=256)] = DEFAULT_MODEL
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=2)] = 1.0
    logit_bias: LogitBias = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    stop: Stop = Field(default_factory=list)
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @property
    def model_name(self) -> str:
        """As the hub takes it: empty for the current model."""
        return "" if self.model == DEFAULT_MODEL else self.model

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def check(self) -> None:
        """Raise BadRequest for fields that do not go together."""
        if self.stream_options is not None and not self.stream:
            raise BadRequest("stream_options is for streams only. Set stream, or leave it out.", "stream_options")

    @abstractmethod
    def requests(self, identity: str, model: str, fairness_key: str) -> list[GenerationRequest]:
        """What to ask `model` for, under ids that begin with `identity`."""

    @abstractmethod
    def form(self, head: Head) -> Form:
        """How the answer is worded."""

    def params(self, max_tokens: int | None) -> Params:
        """How to sample, with at most `max_tokens` tokens; None is what is left of the context."""
        return Params(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            max_tokens=max_tokens,
            stop=tuple(self.stop),
            seed=self.seed,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repeat_penalty=self.repetition_penalty,
            logit_bias=tuple((int(token), bias) for token, bias in self.logit_bias.items()),
        )


Asked = TypeVar("Asked", bound=AnswerRequest)


def read_request(kind: type[Asked], body: bytes) -> Asked:
    """The request in `body`. Raises BadRequest, naming the first field that does not fit."""
    try:
        asked = kind.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error
    except ValidationError as error:
        raise _first_of(error) from error
    asked.check()
    return asked


def _first_of(error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(_path(first["loc"]))[:SHOWN]
    if not field:
        return BadRequest("The body is not a JSON object.")
    if first["type"] == "extra_forbidden":
        return BadRequest(f"There is no field {field} here. Leave it out.", field, "unknown_parameter")
    code = "unsupported_parameter" if first["type"] == UNSUPPORTED else "invalid_value"
    return BadRequest(f"{field}: {first['msg'][:500]}.", field, code)


def _path(location: Iterable[int | str]) -> Iterator[str]:
    """The names and places that lead to a field, without what pydantic puts between and behind them."""
    for before, part in pairwise(("", *location)):
        if not (isinstance(before, int) and part in KINDS) and part != "[key]":
            yield str(part)
