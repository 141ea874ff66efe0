"""The messages of a chat as OpenAI's clients send them, and as a model is shown them.

Text is all that can be read: what else a message may hold there is refused by its place.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from backends.base import Message
from server.openai.objects import fits
from server.openai.requests import SHOWN, UNSUPPORTED, Strict

MOST_CALLS = 128


class TextPart(Strict):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


def _as_parts(value: object) -> object:
    """A text is a list of one part."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    return value


def _as_text(part: object) -> object:
    """What a model refused with is text as well. Parts of other kinds are refused by it."""
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    if isinstance(kind, str) and kind != "text":
        raise PydanticCustomError(UNSUPPORTED, "Only text can be read, not {kind}", {"kind": kind[:SHOWN]})
    return part


Part = Annotated[TextPart, BeforeValidator(_as_text)]
Content = Annotated[list[Part], BeforeValidator(_as_parts, json_schema_input_type=str | list[TextPart])]
Name = Annotated[str, Field(min_length=1, max_length=128)]


def _arguments(value: object) -> dict[str, Any]:
    """They come as a string of JSON, and go on as the object in it."""
    try:
        read = orjson.loads(value) if isinstance(value, str) else None
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict) or not fits(read):
        raise PydanticCustomError("arguments", "should be a JSON object, as a string")
    return read


class CalledFunction(Strict):
    """What an assistant has called."""

    name: Name
    arguments: Annotated[dict[str, Any], PlainValidator(_arguments), WithJsonSchema({"type": "string"})]


class ToolCall(Strict):
    """One call of an assistant's. `index` is left over from a stream, and says nothing here."""

    id: Annotated[str, Field(max_length=256)]
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class SpokenMessage(Strict):
    """What a person said, or how the model should behave. `developer` is a newer word for `system`."""

    role: Literal["system", "developer", "user"]
    content: Content
    name: Name | None = None

    def message(self) -> Message:
        """As a model is shown it."""
        return Message("user" if self.role == "user" else "system", _text(self.content), name=self.name)


class AssistantMessage(Strict):
    """What a model answered. What it thought is taken, so that an answer can be sent back, and not shown again."""

    role: Literal["assistant"]
    content: Content = Field(default_factory=list)
    name: Name | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_CALLS)] = Field(default_factory=list)
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    annotations: Annotated[list[Any], Field(max_length=0)] = Field(default_factory=list)
    audio: None = None
    function_call: None = None

    def message(self) -> Message:
        """As a model is shown it."""
        calls = tuple(
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in self.tool_calls
        )
        return Message("assistant", _text(self.content) or self.refusal or "", tool_calls=calls, name=self.name)


class ToolMessage(Strict):
    """What a tool gave for a call."""

    role: Literal["tool"]
    content: Content
    tool_call_id: Annotated[str, Field(max_length=256)]
    name: Name | None = None

    def message(self) -> Message:
        """As a model is shown it."""
        return Message("tool", _text(self.content), tool_call_id=self.tool_call_id, name=self.name)


ChatMessage = Annotated[SpokenMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


def _text(parts: list[TextPart]) -> str:
    """Parts are paragraphs: run together, the end of one would meet the beginning of the next in a word."""
    return "\n".join(part.text for part in parts)
