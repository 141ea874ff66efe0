"""What goes on at this moment, in one line: waiting, loading, reading, writing, or a line that is down."""

from __future__ import annotations

import time

from terminal.characters import one_line
from terminal.frames import Delta, Frame, Loading, Progress, Typing


class Status:
    """Keeps what was heard last, and when it was asked for."""

    def __init__(self) -> None:
        self._doing = ""
        self._since = time.monotonic()

    def begin(self) -> None:
        """Something was asked just now."""
        self._doing, self._since = "asked", time.monotonic()

    def heard(self, frame: Frame) -> None:
        """Take in whatever tells of progress."""
        if isinstance(frame, Progress):
            self._doing = _doing(frame)
        elif isinstance(frame, Loading):
            done = f" {frame.done * 100 // frame.total} %" if frame.total else ""
            self._doing = f"{one_line(frame.model)}: {one_line(frame.message) or 'loading'}{done}"
        elif isinstance(frame, Delta):
            self._doing = "writing" if frame.channel == "content" else "thinking"
        elif isinstance(frame, Typing):
            self._doing = "thinking about it"

    def line(self, *, up: bool, place: int | None, stopping: bool) -> str:
        """The line. `place` of the message in the queue; 1 is next."""
        if not up:
            return f"connection lost, trying again · {self._seconds()} · what is written meanwhile will be there"
        if stopping:
            return "stopping"
        doing = f"waiting for another answer, number {place} in line" if place else self._doing
        return f"{doing} · {self._seconds()} · Ctrl-C stops"

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._since:.0f} s"


def _doing(frame: Progress) -> str:
    match frame.phase:
        case "queued":
            return f"waiting for the engine, number {frame.position} in line" if frame.position else "waiting"
        case "loading":
            return f"loading the model {frame.done * 100 // frame.total} %" if frame.total else "loading the model"
        case "prefill":
            return f"reading {frame.done:,} of {frame.total:,} tokens" if frame.total else "reading"
        case "decoding":
            return f"writing, {frame.done:,} tokens" if frame.done else "writing"
    return one_line(frame.phase)
