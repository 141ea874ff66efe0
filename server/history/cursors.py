"""Where in the list a page ends, as a word that a client gives back. Knows nothing of queries."""

from __future__ import annotations

import base64
import binascii
import json

from server.history.records import About


class BadCursor(ValueError):
    """A cursor that this program did not make."""


def cursor_after(about: About) -> str:
    """The cursor for what comes after this line of the list."""
    place = json.dumps([about.pinned, about.updated_at, about.id])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[bool, float, str]:
    """The line that a cursor stands after. Raises BadCursor."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadCursor("This is not where a page of the list ends.") from error
    match place:
        case [bool(pinned), float(updated_at), str(identity)]:
            return pinned, updated_at, identity
    raise BadCursor("This is not where a page of the list ends.")
