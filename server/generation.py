"""`/generate` on the wire: a prompt, and its answer a token an event.

    data: {"token":"…","index":0}             one for each token
    data: {"done":true,"total_tokens":12}     the end
    data: {"error":"…"}                       or what went wrong

Knows nothing of HTTP, nor of where the answer comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import orjson
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from backends.base import Done, Event, Params, Text
from server.bodies import Body
from server.coalesce import whole_characters

Stop = Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=16)]


class GenerateParams(Body):
    """How to sample. Left alone, it draws from all that the model holds possible."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    stop: Stop | str | None = None
    n: Literal[1] | None = None
    stream: Literal[True] | None = None

    def sampling(self) -> Params:
        """As the backends take them."""
        given = self.model_dump(exclude_none=True, exclude={"n", "stream", "stop"})
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Params(**{"max_tokens": 128, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "stop": stop, **given})


class GenerateRequest(Body):
    """A text to go on from. The model sees it as it is, without a chat template."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "what is a large language model?"},
                {
                    "prompt": "The capital of France is",
                    "model": "default",
                    "params": {"max_tokens": 8, "temperature": 0},
                },
            ]
        }
    )

    prompt: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(max_length=256)] | None = None
    params: GenerateParams | None = None

    @model_validator(mode="before")
    @classmethod
    def _params_have_their_place(cls, data: object) -> object:
        misplaced = [name for name in data if name in GenerateParams.model_fields] if isinstance(data, dict) else []
        if misplaced:
            raise PydanticCustomError("misplaced", "{field} belongs into params", {"field": misplaced[0]})
        return data

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise PydanticCustomError("empty", "Prompt cannot be empty")
        return prompt

    @property
    def model_name(self) -> str:
        """As the hub takes it: empty for the current model."""
        return "" if self.model in (None, "default") else str(self.model)

    def sampling(self) -> Params:
        """As the backends take them."""
        return (self.params or GenerateParams()).sampling()


class Tokens:
    """Counts the tokens of one answer, and gives each its event.

    Backends pass text on when it is whole, so a piece may come of several tokens, as when a character took three of
    them. The last of these has the text, and the others have none; so there are as many events as tokens, and their
    texts joined are the answer.
    """

    def __init__(self) -> None:
        self.total = 0
        self._half = ""  # of a surrogate pair: the other half comes with the next piece

    def events(self, event: Event) -> Iterator[bytes]:
        """What is to be sent of `event`."""
        if isinstance(event, Text):
            text, self._half = whole_characters(self._half + event.text, keep_half=True)
            for left in range(max(1, len(event.token_ids)) - 1, -1, -1):
                yield self._token("" if left else text)
        elif isinstance(event, Done):
            yield orjson.dumps({"done": True, "total_tokens": self.total})

    def _token(self, text: str) -> bytes:
        index, self.total = self.total, self.total + 1
        return orjson.dumps({"token": text, "index": index})


def failure(message: str) -> bytes:
    """The event that ends a stream which has failed."""
    return orjson.dumps({"error": message})
