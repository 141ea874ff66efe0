"""Transients: what is said out of the log, without `seq`. They may be lost or repeated."""

from __future__ import annotations

from typing import Literal

from backends.base import Phase
from server.protocol.codes import PROTOCOL_VERSION, ErrorCode
from server.protocol.events import AnyLogEvent
from server.protocol.parts import Message, ModelEntry, QueuedPrompt, RunningAnswer, SnapshotMessage


class SystemMessage(Message):
    """A word to people. `state`: which of the server's states it speaks of."""

    type: Literal["system"] = "system"
    message: str
    state: Literal["draining", "history_off", "history_on"] | None = None


class Hello(SystemMessage):
    """The first frame of every connection."""

    message: str = "Connected to chat server..."
    session: str
    epoch: str
    head: int
    recovered: bool
    title: str = ""
    model: str
    protocol: int = PROTOCOL_VERSION
    max_message_chars: int
    max_frame_bytes: int


class Ack(Message):
    type: Literal["ack"] = "ack"
    cmd_id: str
    id: str | None = None
    seq: int | None = None
    duplicate: bool = False


class ProgressMessage(Message):
    type: Literal["progress"] = "progress"
    id: str
    phase: Phase
    done: int = 0
    total: int = 0
    cached: int | None = None  # of the `done` tokens of a prompt, those that were known from before
    position: int | None = None
    eta: float | None = None
    estimate: bool | None = None


class LoadingMessage(Message):
    type: Literal["loading"] = "loading"
    model: str
    message: str
    done: int = 0
    total: int = 0


class CanvasMessage(Message):
    type: Literal["canvas"] = "canvas"
    id: str
    rev: int
    length: int
    full: bool
    step: int
    ops: list[tuple[int, str, Literal["masked", "tentative", "committed"], float]]


class Snapshot(Message):
    """The fold of the log up to `seq`."""

    type: Literal["snapshot"] = "snapshot"
    session: str
    epoch: str
    seq: int
    messages: list[SnapshotMessage]
    running: list[RunningAnswer]
    queue: list[QueuedPrompt]


class ErrorMessage(Message):
    """About one frame of this connection, not about a run."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str
    cmd_id: str | None = None
    retry_after: float | None = None


class ModelsMessage(Message):
    type: Literal["models"] = "models"
    current: str
    max_tokens: int  # of an answer to a message that names none
    models: list[ModelEntry]


class EngineFigures(Message):
    """What a backend's engine does at this moment. `prompt_tokens` and `cached_tokens` are of all prompts so far.

    `blocks_used` and `blocks_cached` of `blocks_total` hold running and earlier conversations.
    """

    model: str  # `backend/name`
    running: int
    waiting: int
    slots: int
    blocks_used: int
    blocks_cached: int
    blocks_total: int
    prompt_tokens: int
    cached_tokens: int
    tokens_per_second: float | None = None


class EngineMessage(EngineFigures):
    """Said at most once a second, and only when it changed."""

    type: Literal["engine"] = "engine"


class SessionMessage(Message):
    """A conversation of this person changed: its line of the list. Times are Unix seconds."""

    type: Literal["session"] = "session"
    id: str
    title: str
    pinned: bool
    running: bool
    created: float
    updated: float
    removed: bool | None = None


class Pong(Message):
    type: Literal["pong"] = "pong"
    cmd_id: str | None = None


Transient = (
    Hello
    | SystemMessage
    | Ack
    | ProgressMessage
    | LoadingMessage
    | CanvasMessage
    | Snapshot
    | ErrorMessage
    | ModelsMessage
    | EngineMessage
    | SessionMessage
    | Pong
)

ServerMessage = AnyLogEvent | Transient
