"""Fields of JSON that another program wrote: any of them may be missing, or of another type. Knows no program's API."""

from __future__ import annotations

from collections.abc import Mapping

JsonObject = Mapping[str, object]


def text_at(source: JsonObject, key: str) -> str:
    """The text there, or an empty one."""
    value = source.get(key)
    return value if isinstance(value, str) else ""


def count_at(source: JsonObject, key: str) -> int:
    """The whole number there, or 0."""
    value = source.get(key)
    return value if isinstance(value, int) and value >= 0 else 0


def object_at(source: JsonObject, key: str) -> JsonObject:
    """The object there, or an empty one."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def objects_at(source: JsonObject, key: str) -> list[JsonObject]:
    """The objects of the list there; what else is in it is left out."""
    value = source.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def strings(value: object) -> tuple[str, ...] | None:
    """The strings of a list; None for what is no list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


def positive(value: object) -> int | None:
    """The number that was sent, unless it says nothing."""
    return value if isinstance(value, int) and value > 0 else None
