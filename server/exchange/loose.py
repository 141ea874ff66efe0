"""Values of JSON that somebody else wrote, taken for what they should be, or for nothing.

What they mean is for the readers of the formats to say.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

import orjson

from server.exchange.draft import BadConversation

LATEST = 7_258_118_400.0  # the year 2200, in Unix seconds
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def parse(data: bytes) -> object:
    """JSON, made into values. Halves of characters become U+FFFD, and numbers that nobody can store become nothing.

    The nesting must be known to be shallow. Raises BadConversation.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass  # stricter than programs that write JSON are
    try:
        return _mended(_LENIENT.decode(data.decode("utf-8", "replace")))
    except ValueError as error:
        raise BadConversation("is not valid JSON.") from error


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) < 19 else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_LENIENT = json.JSONDecoder(
    strict=False,
    parse_int=_whole,
    parse_float=_finite,
    parse_constant=lambda _: None,
)


def _mended(value: object) -> object:
    match value:
        case str():
            return _HALF_PAIR.sub("\ufffd", value)
        case dict():
            return {_mended(key): _mended(member) for key, member in value.items()}
        case list():
            return [_mended(member) for member in value]
        case _:
            return value


def record(value: object) -> dict[str, object]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """An array, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A string, or an empty one."""
    return value if isinstance(value, str) else ""


def name(value: object) -> str | None:
    """A string that can name something, or None."""
    return value if isinstance(value, str) and value else None


def count(value: object) -> int | None:
    """A number of things, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value)


def seconds(value: object) -> float | None:
    """A time in Unix seconds, from seconds, milliseconds or nanoseconds, a number or digits, or ISO 8601; or None."""
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) < 1e300 else math.nan
    elif isinstance(value, str) and len(value) <= 40:
        number = _written(value)
    for unit in (1.0, 1e3, 1e6, 1e9):
        if 0 < number / unit < LATEST:
            return number / unit
    return None


def _written(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan
