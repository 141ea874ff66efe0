"""The bodies of Ollama's requests, read: every field of the type it should be, and what nobody heeds told back.

Its clients say no type of content, leave out what is empty, and send fields that are newer than the server they meet.
`null` is as good as leaving a field out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from server.ollama.durations import seconds_of
from server.ollama.errors import SHOWN, Refused

LEVELS = ("low", "medium", "high", "max")
MOST_UNHEEDED = 32


class Body(BaseModel):
    """An object whose known fields are of the types they should be. Others are kept apart."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None}

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of the fields that nobody knows."""
        return tuple(name[:SHOWN] for name in (self.model_extra or {}))


class ModelRequest(Body):
    """What names a model; `name` is the word that older clients say."""

    model: Annotated[str, Field(max_length=512)] = ""
    name: Annotated[str, Field(max_length=512)] = ""

    @property
    def asked(self) -> str:
        """The model's name as it was given. Raises Refused when there is none."""
        if not (self.model or self.name).strip():
            raise Refused("model is required")
        return self.model or self.name


class ShowRequest(ModelRequest):
    """`/api/show`."""

    verbose: bool = False
    system: str = ""
    template: str = ""


class PullRequest(ModelRequest):
    """`/api/pull`."""

    insecure: bool = False
    stream: bool = True


class EmbedRequest(ModelRequest):
    """`/api/embed` and `/api/embeddings`, which no model here can follow."""


class AnswerRequest(ModelRequest):
    """What every request for an answer may say."""

    stream: bool = True
    format: str | dict[str, Any] = ""
    options: dict[str, Any] = Field(default_factory=dict)
    keep_alive: Annotated[float, AllowInfNan()] | None = None  # seconds; infinity: for ever
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    truncate: bool = True
    shift: bool = False
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _duration(cls, value: object) -> float:
        try:
            return seconds_of(value)
        except ValueError as error:
            raise PydanticCustomError("duration", "{reason}", {"reason": str(error).rstrip(".")}) from error

    @field_validator("format", mode="after")
    @classmethod
    def _known_format(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, str) and value not in ("", "json"):
            shown = orjson.dumps(value[:SHOWN]).decode()
            expected = 'expected "json" or a valid JSON Schema object'
            raise PydanticCustomError("format", "{reason}", {"reason": f"invalid format: {shown}; {expected}"})
        return value

    @property
    def response_format(self) -> dict[str, Any] | None:
        """`format` as backends take it."""
        if isinstance(self.format, dict):
            return {"type": "json_schema", "schema": self.format}
        return {"type": "json_object"} if self.format else None

    @property
    def unheeded(self) -> tuple[str, ...]:
        """What was said, and changes nothing."""
        level = ("think level",) if isinstance(self.think, str) else ()
        return (*self.unknown, *level, *(("shift",) if self.shift else ()))[:MOST_UNHEEDED]


class GenerateRequest(AnswerRequest):
    """`/api/generate`."""

    prompt: str = ""
    system: str = ""
    raw: bool = False
    suffix: str = ""
    template: str = ""
    context: list[int] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)


class FunctionCall(Body):
    """A tool that was called."""

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolCall(Body):
    """What an assistant's message says of a call."""

    function: FunctionCall
    id: str = ""


class MessageBody(Body):
    """One message. An assistant's earlier `thinking` is known, and shown to no model."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str = ""
    images: list[str] = Field(default_factory=list)
    tool_calls: list[ToolCall] = Field(default_factory=list)
    tool_name: str | None = None
    tool_call_id: str | None = None

    @field_validator("role", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class ToolFunction(Body):
    """What is told of a tool. `parameters` are a JSON Schema."""

    name: Annotated[str, Field(min_length=1)]


class Tool(Body):
    """A tool that may be called."""

    type: Literal["function"] = "function"
    function: ToolFunction


class ChatRequest(AnswerRequest):
    """`/api/chat`."""

    messages: list[MessageBody] = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)


Asked = TypeVar("Asked", bound=ModelRequest)


def read_json(body: bytes) -> Mapping[str, object]:
    """The object in a body. Raises Refused."""
    if not body.strip():
        raise Refused("missing request body")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Refused("The body is not a JSON object.")
    return value


def read_request(kind: type[Asked], body: Mapping[str, object]) -> Asked:
    """The request that `body` is. Raises Refused, naming the first field that does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:SHOWN]
        message = first["msg"] if first["type"] == "format" else f"{field}: {first['msg']}."
        raise Refused(message) from error
