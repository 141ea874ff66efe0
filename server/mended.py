"""Text of which every character can be written: some servers cut a character that takes two units of UTF-16 in half.

Knows nothing of backends. Each half would break whatever encodes it; joined, they are the character that was meant.
"""

from __future__ import annotations

from dataclasses import replace

from backends.base import Event, Reasoning, Text
from server.coalesce import whole_characters


class Mended:
    """Mends the texts of one request's answers, of each choice and kind by itself."""

    def __init__(self) -> None:
        self._halves: dict[tuple[type[Text] | type[Reasoning], int], str] = {}

    def mend(self, event: Event) -> Event:
        """`event` without halves of characters. One at a text's end is kept for the text that follows."""
        if not isinstance(event, Text | Reasoning):
            return event
        place = (type(event), event.index)
        text, half = whole_characters(self._halves.pop(place, "") + event.text, keep_half=True)
        if half:
            self._halves[place] = half
        return event if text == event.text else replace(event, text=text)
