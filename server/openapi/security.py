"""How a caller may be let in, where the server asks for a key, as the document says it."""

from __future__ import annotations

from typing import Any

from server.access.rules import is_open

SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, as OpenAI's clients send it."},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same key."},
}
WAYS_IN: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"key": []}]  # {}: where no key is asked for


def ways_in(path: str) -> list[dict[str, list[str]]]:
    """What any one of lets a caller in at that path; nothing where everybody is."""
    return [] if is_open(path) else WAYS_IN
