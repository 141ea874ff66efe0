"""Bodies of requests to our own endpoints, read into a model or refused: JSON and, where pages post, forms.

`curl -d` and many a program send JSON under any Content-Type, so what a body is shows itself. Knows nothing of what is
asked.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

SHOWN = 80  # characters of a name that somebody else chose
MAX_FIELDS = 16  # of a form


class Body(BaseModel):
    """An object of which every field is known, and of the type it should be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Asked = TypeVar("Asked", bound=BaseModel)


def read_body(kind: type[Asked], body: bytes) -> Asked:
    """The request in `body`. Raises HTTPException."""
    return fitting(kind, read_json(body))


def read_json(body: bytes) -> object:
    """What `body` says. Raises HTTPException when it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(422, f"The body is not JSON: {error}") from error


def is_json(body: bytes) -> bool:
    """Whether `body` means to be JSON. Anything else is taken for a form, no field of which begins like that."""
    return body.lstrip().startswith((b"{", b"["))


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form as a page posts it. Raises HTTPException."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError as error:  # of its encoding, too
        raise HTTPException(422, "The body is neither a form nor JSON") from error


def fitting(kind: type[Asked], data: object, *, strict: bool = True) -> Asked:
    """`data` as a request of that kind. Raises HTTPException, naming the first field that does not fit.

    What is not `strict`, as a form cannot be, may have words for numbers and for yes and no.
    """
    try:
        return kind.model_validate(data, strict=strict)
    except ValidationError as error:
        raise HTTPException(422, complaint(error)) from error


def complaint(error: ValidationError) -> str:
    """What is wrong with the first field that does not fit."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:SHOWN]
    if not field:
        return "The body is not a JSON object" if first["type"] == "model_type" else first["msg"]
    if first["type"] == "extra_forbidden":
        return f"There is no field {field} here. Leave it out"
    return f"{field}: {first['msg']}"
