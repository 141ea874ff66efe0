"""Tools that a model may call, and the form its answer has to have, as OpenAI's clients ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from server.openai.errors import BadRequest
from server.openai.objects import JsonObject
from server.openai.requests import Strict

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Description = Annotated[str, Field(max_length=32_000)]
WORDS = ("auto", "none", "required")


class FunctionTool(Strict):
    """A function, with a JSON Schema for its arguments.

    The engine has arguments keep to it, `strict` or not, as other backends do where their server does.
    """

    name: FunctionName
    description: Description = ""
    parameters: JsonObject = Field(default_factory=dict)
    strict: bool = False


class Tool(Strict):
    """Something that a model may call."""

    type: Literal["function"]
    function: FunctionTool

    def plain(self) -> dict[str, Any]:
        """As backends take it: without what was not said."""
        return self.model_dump(exclude_unset=True)


class ChosenFunction(Strict):
    """The function that must be called."""

    name: FunctionName


class Choice(Strict):
    """Whether to call a tool, or which: a word is as good as an object of that type."""

    type: Literal["auto", "none", "required", "function"]
    function: ChosenFunction | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_object(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) and value != "function" else value

    def check(self, tools: Sequence[Tool]) -> None:
        """Raise BadRequest for a choice that `tools` do not offer."""
        if (self.type == "function") != (self.function is not None):
            raise BadRequest("tool_choice: A function goes with the type function.", "tool_choice")
        if self.type == "required" and not tools:
            raise BadRequest("tool_choice: There are no tools to choose from.", "tool_choice")
        if self.function is None:
            return
        name = self.function.name
        if all(tool.function.name != name for tool in tools):
            raise BadRequest(f"tool_choice: There is no function {name} among the tools.", "tool_choice")
        if name in WORDS:
            raise BadRequest(f"tool_choice: {name} is a word of its own. Call the function otherwise.", "tool_choice")

    @property
    def plain(self) -> str:
        """As backends take it: a word or a function's name."""
        return self.function.name if self.function is not None else self.type


class JsonSchema(Strict):
    """The schema that an answer keeps to, `strict` or not; the name and the description change nothing."""

    name: FunctionName
    description: Description = ""
    schema_: Annotated[JsonObject, Field(alias="schema")]
    strict: bool = False


class ResponseFormat(Strict):
    """The form of the whole answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def plain(self) -> dict[str, Any] | None:
        """As backends take it. None: any text. Raises BadRequest for a type and a schema that do not go together."""
        if (self.type == "json_schema") != (self.json_schema is not None):
            told = "json_schema goes with the type json_schema, and with no other"
            raise BadRequest(f"response_format: {told}.", "response_format")
        if self.json_schema is not None:
            return {"type": "json_schema", "schema": self.json_schema.schema_}
        return None if self.type == "text" else {"type": self.type}


def check_names(tools: Sequence[Tool]) -> None:
    """Raise BadRequest where two tools have one name."""
    names = [tool.function.name for tool in tools]
    if len({*names}) < len(names):
        raise BadRequest("tools: Two functions have one name.", "tools")
