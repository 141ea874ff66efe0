"""JSON objects of a caller's own making, such as schemas, which go on to a backend as they are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MOST_LEVELS = 64  # what is nested deeper could be read, but not written again everywhere


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    if not fits(value):
        raise PydanticCustomError("depth", "is nested more than {levels} levels deep", {"levels": MOST_LEVELS})
    return value


def fits(value: object, levels: int = MOST_LEVELS) -> bool:
    """Whether lists and objects lie at most `levels` deep in each other."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return children is None or (levels > 0 and all(fits(child, levels - 1) for child in children))


JsonObject = Annotated[dict[str, Any], AfterValidator(_shallow)]
