"""What a browser's EventSource makes of a stream's bytes, by the letter of the standard, and a page of its events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

LINE_END = re.compile("\r\n|\r|\n")


@dataclass(slots=True, frozen=True)
class Event:
    """An event as it is dispatched. `id`: the last one that was given, by this event or an earlier one."""

    kind: str
    data: str
    id: str


class EventSource:
    """Takes a stream's bytes in any portions. What was cut off in the middle of an event is forgotten."""

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.comments = 0
        self._received = b""

    def take(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes."""
        self._received += data
        *blocks, self._received = self._received.split(b"\n\n")
        for block in blocks:
            yield from self._dispatch(block.decode())

    def _dispatch(self, block: str) -> Iterator[Event]:
        kind, lines, identity = "message", [], self.last_event_id
        for line in LINE_END.split(block):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                self.comments += 1
            elif name == "event":
                kind = value
            elif name == "data":
                lines.append(value)
            elif name == "id" and "\0" not in value:
                identity = value
            else:
                assert name == "retry", f"a stream has no field {name!r}"
        self.last_event_id = identity
        if lines:
            yield Event(kind, "\n".join(lines), identity)


@dataclass
class TextPage:
    """The smallest page: it adds up the texts of each answer, and notes how often each was said to be complete."""

    texts: dict[str, str] = field(default_factory=dict)
    completed: dict[str, int] = field(default_factory=dict)
    last_event_id: str = ""

    def see(self, event: Event) -> None:
        self.last_event_id = event.id
        if event.kind == "complete":
            self.completed[event.data] = self.completed.get(event.data, 0) + 1
            return
        assert event.kind == "message", f"nobody knows the event {event.kind!r}"
        answer, bar, text = event.data.partition("|")
        assert bar, "the data of a message begins with the answer's id and a bar"
        self.texts[answer] = self.texts.get(answer, "") + text
