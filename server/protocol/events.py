"""Log events: what a session's log holds, each with `seq`, and what a client folds into its state."""

from __future__ import annotations

from typing import Literal

from backends.base import FinishReason
from server.protocol.codes import ErrorCode
from server.protocol.commands import ChatParams
from server.protocol.parts import Message, TimingInfo, UsageInfo


class LogEvent(Message):
    """An event of a session's log. `seq` and `session` are given to it when it is published."""

    session: str = ""
    seq: int = 0


class QueuedEvent(LogEvent):
    type: Literal["queued"] = "queued"
    id: str
    message: str
    cmd_id: str | None = None


class UserEvent(LogEvent):
    type: Literal["user"] = "user"
    id: str
    parent_id: str | None = None
    message: str
    cmd_id: str | None = None
    run: str
    at: float | None = None  # Unix seconds


class TypingEvent(LogEvent):
    """The answer `id` to the message `parent_id` has begun; one that there is already goes on where it ended."""

    type: Literal["typing"] = "typing"
    id: str
    parent_id: str | None = None
    message: str = "AI is typing..."
    model: str
    cmd_id: str | None = None  # of the command that asked for it, where that said nothing itself
    at: float | None = None


class DeltaEvent(LogEvent):
    """A piece of text. `offset` counts the code points before it in its channel."""

    type: Literal["delta"] = "delta"
    id: str
    channel: Literal["content", "reasoning"] = "content"
    offset: int
    message: str


class AiEvent(LogEvent):
    """The run's end and the whole text, equal to all content deltas joined. Without a run: an answer that is written
    by a person."""

    type: Literal["ai"] = "ai"
    id: str
    parent_id: str
    message: str
    reasoning: str | None = None
    finish_reason: FinishReason
    usage: UsageInfo
    timings: TimingInfo
    model: str
    params: ChatParams | None = None
    cmd_id: str | None = None  # these two of an answer that had no `typing`
    at: float | None = None


class ErrorEvent(LogEvent):
    """The run's other end: it failed. The fold keeps the partial text."""

    type: Literal["error"] = "error"
    id: str
    code: ErrorCode
    message: str
    retry_after: float | None = None


class SelectedEvent(LogEvent):
    type: Literal["selected"] = "selected"
    id: str


class RemovedEvent(LogEvent):
    type: Literal["removed"] = "removed"
    id: str


class EditedEvent(LogEvent):
    """A waiting message has another text."""

    type: Literal["edited"] = "edited"
    id: str
    message: str


class MovedEvent(LogEvent):
    """A waiting message has another place in the queue; 0 is next."""

    type: Literal["moved"] = "moved"
    id: str
    position: int


class NoticeEvent(LogEvent):
    type: Literal["notice"] = "notice"
    message: str
    dropped: list[str] | None = None


AnyLogEvent = (
    QueuedEvent
    | UserEvent
    | TypingEvent
    | DeltaEvent
    | AiEvent
    | ErrorEvent
    | SelectedEvent
    | RemovedEvent
    | EditedEvent
    | MovedEvent
    | NoticeEvent
)
