"""What the server says over the WebSocket, as far as the terminal needs it. docs/protocol.md tells what it means.

Fields that are not needed are left aside, and so are frames of types that are not known: only their place in the log
counts.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Frame(BaseModel):
    """Anything that was said."""

    model_config = ConfigDict(frozen=True)

    type: str


class Event(Frame):
    """What the conversation's log holds, at its place `seq`; by itself, an event of a type that is not known."""

    seq: int


class Usage(BaseModel):
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class Timings(BaseModel):
    ttft_ms: float | None = None
    total_ms: float | None = None
    tokens_per_second: float | None = None


class Failure(BaseModel):
    """Why an answer failed."""

    code: str
    message: str
    retry_after: float | None = None


# Events of the log


class Queued(Event):
    id: str
    message: str
    cmd_id: str | None = None


class User(Event):
    id: str
    parent_id: str | None = None
    message: str
    cmd_id: str | None = None
    run: str


class Typing(Event):
    id: str
    parent_id: str | None = None
    model: str
    cmd_id: str | None = None


class Delta(Event):
    id: str
    channel: Literal["content", "reasoning"] = "content"
    offset: int
    message: str


class Ai(Event):
    id: str
    parent_id: str
    message: str
    reasoning: str | None = None
    finish_reason: str
    usage: Usage
    timings: Timings
    model: str
    cmd_id: str | None = None


class Failed(Event):
    """An answer's other end."""

    id: str
    code: str
    message: str
    retry_after: float | None = None


class Selected(Event):
    id: str


class Removed(Event):
    id: str


class Edited(Event):
    id: str
    message: str


class Moved(Event):
    id: str
    position: int


class Notice(Event):
    message: str


# Beside the log


class System(Frame):
    """A word from the server. With a `session` it is the hello."""

    message: str = ""
    session: str | None = None
    epoch: str = ""
    head: int = 0
    title: str = ""
    model: str = ""
    state: str | None = None


class Refused(Frame):
    """A command or a frame that was not done."""

    code: str
    message: str
    retry_after: float | None = None
    cmd_id: str | None = None


class Ack(Frame):
    """A command that is done. `seq` is its first event in the log."""

    cmd_id: str
    id: str | None = None
    seq: int | None = None


class Progress(Frame):
    id: str
    phase: str
    done: int = 0
    total: int = 0
    cached: int | None = None
    position: int | None = None


class Loading(Frame):
    model: str
    message: str = ""
    done: int = 0
    total: int = 0


class Told(BaseModel):
    """One message of a snapshot."""

    id: str
    parent_id: str | None = None
    role: str
    message: str
    reasoning: str | None = None
    finish_reason: str | None = None
    error: Failure | None = None
    selected: bool = True
    cmd_id: str | None = None
    run: str | None = None
    model: str | None = None
    usage: Usage | None = None
    timings: Timings | None = None


class Waiting(BaseModel):
    """A message that waits for its turn."""

    id: str
    message: str
    cmd_id: str | None = None


class Snapshot(Frame):
    """The whole conversation, up to `seq`."""

    session: str
    epoch: str
    seq: int
    messages: list[Told]
    queue: list[Waiting]


EVENTS: dict[str, type[Event]] = {
    "queued": Queued,
    "user": User,
    "typing": Typing,
    "delta": Delta,
    "ai": Ai,
    "error": Failed,
    "selected": Selected,
    "removed": Removed,
    "edited": Edited,
    "moved": Moved,
    "notice": Notice,
}
OTHERS: dict[str, type[Frame]] = {
    "system": System,
    "error": Refused,
    "ack": Ack,
    "progress": Progress,
    "loading": Loading,
    "snapshot": Snapshot,
}


class BadFrame(Exception):
    """Whoever is at the other end does not speak this protocol."""


def read(text: str | bytes) -> Frame:
    """The frame, as the class of its type. Raises BadFrame."""
    try:
        data = json.loads(text)
        kind = data["type"]
        if "seq" in data and kind not in ("ack", "snapshot"):
            return EVENTS.get(kind, Event).model_validate(data)
        return OTHERS.get(kind, Frame).model_validate(data)
    except (ValueError, TypeError, KeyError) as error:
        raise BadFrame(f"{type(error).__name__}: {error}") from error
