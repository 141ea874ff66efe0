"""The WebSocket protocol: one pydantic model per message, two unions discriminated by `type`.

Knows nothing of sockets or sessions. `docs/protocol.schema.json` is generated from these models.

Three families:
    commands      client -> server; each typed one is answered by an `Ack` or an `ErrorMessage` with its `cmd_id`
    log events    server -> client, with `seq`: what a session's log holds, and what a client folds into its state
    transients    server -> client, without `seq`: may be lost or repeated
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from backends.base import FinishReason, Kind, ModelState, Phase

PROTOCOL_VERSION = 1

ErrorCode = Literal[
    "bad_json",
    "bad_message",
    "unknown_type",
    "unsupported",
    "message_too_long",
    "bad_resume",
    "unknown_session",
    "not_found",
    "unauthorized",
    "rate_limited",
    "overloaded",
    "model_not_found",
    "model_invalid",
    "context_overflow",
    "backend_unreachable",
    "backend_timeout",
    "backend_error",
    "internal",
]


class CloseCode:
    """WebSocket close codes of our own. 4404: do not come back; 4408: come back at once; 4429: after `retry_after`."""

    BAD_CLIENT = 4400
    UNAUTHORIZED = 4401
    GONE = 4404
    TOO_SLOW = 4408
    FLOOD = 4429


# Commands


class Command(BaseModel):
    """What a client asks for. `cmd_id` makes it safe to send twice."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    cmd_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


Id = Annotated[str, Field(min_length=1, max_length=64)]


MAX_DEPTH = 4


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    """What is nested deeper than any option is could be read, but not written again."""
    if not _fits(value, MAX_DEPTH):
        raise ValueError("nested too deeply")
    return value


def _fits(value: object, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return children is None or (levels > 0 and all(_fits(child, levels - 1) for child in children))


class ChatParams(BaseModel):
    """How to sample this answer. What is missing has the server's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    system: Annotated[str, Field(max_length=32_000)] | None = None
    diffusion: Annotated[dict[str, Any], AfterValidator(_shallow)] | None = None


class UserCommand(Command):
    """Say something. Without `parent_id` it follows the selected leaf, after the queued messages."""

    type: Literal["user"] = "user"
    message: str
    parent_id: Id | None = None
    model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    params: ChatParams | None = None
    think: bool | None = None


class StopCommand(Command):
    """End the run `id`, or the newest one. What came of the answer stays."""

    type: Literal["stop"]
    id: Id | None = None


class RegenerateCommand(Command):
    type: Literal["regenerate"]
    id: Id


class EditCommand(Command):
    type: Literal["edit"]
    id: Id
    message: str


class ContinueCommand(Command):
    type: Literal["continue"]
    id: Id


class SelectCommand(Command):
    type: Literal["select"]
    id: Id


class RemoveCommand(Command):
    type: Literal["remove"]
    id: Id


class QueueEditCommand(Command):
    type: Literal["queue_edit"]
    id: Id
    message: str


class QueueRemoveCommand(Command):
    type: Literal["queue_remove"]
    id: Id


class QueueMoveCommand(Command):
    type: Literal["queue_move"]
    id: Id
    position: Annotated[int, Field(ge=0, le=1_000_000)]


class PingCommand(Command):
    type: Literal["ping"]


ClientMessage = Annotated[
    UserCommand
    | StopCommand
    | RegenerateCommand
    | EditCommand
    | ContinueCommand
    | SelectCommand
    | RemoveCommand
    | QueueEditCommand
    | QueueRemoveCommand
    | QueueMoveCommand
    | PingCommand,
    Field(discriminator="type"),
]


# Parts


class Message(BaseModel):
    """What the server says. `None` fields are left off the wire."""

    model_config = ConfigDict(frozen=True)


class UsageInfo(Message):
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int


class TimingInfo(Message):
    queued_ms: float | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None
    tokens_per_second: float | None = None


class RunError(Message):
    """Why an answer ended in failure."""

    code: ErrorCode
    message: str
    retry_after: float | None = None


class ModelEntry(Message):
    """One line of the model list; `name` is `backend/name`."""

    name: str
    backend: str
    kind: Kind
    state: ModelState
    reason: str | None = None
    progress: float | None = None
    size: int | None = None
    quantization: str | None = None
    context_length: int | None = None
    temperature: float | None = None  # of an answer to a message that names none; None: 0.7
    capabilities: list[str]


class SnapshotMessage(Message):
    """One message of the tree, as the log's fold has it. A running answer is also listed in `Snapshot.running`."""

    id: str
    parent_id: str | None = None
    role: Literal["user", "ai", "notice"]
    message: str
    reasoning: str | None = None
    finish_reason: FinishReason | None = None
    error: RunError | None = None
    selected: bool = True
    cmd_id: str | None = None
    run: str | None = None  # of a user's message: the id of the answer to it
    model: str | None = None
    usage: UsageInfo | None = None
    timings: TimingInfo | None = None
    params: ChatParams | None = None


class RunningAnswer(Message):
    """An answer in the making: its text so far."""

    id: str
    parent_id: str
    model: str
    message: str = ""
    reasoning: str = ""


class QueuedPrompt(Message):
    id: str
    message: str
    cmd_id: str | None = None


# Log events


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


class TypingEvent(LogEvent):
    type: Literal["typing"] = "typing"
    id: str
    message: str = "AI is typing..."
    model: str


class DeltaEvent(LogEvent):
    """A piece of text. `offset` counts the code points before it in its channel."""

    type: Literal["delta"] = "delta"
    id: str
    channel: Literal["content", "reasoning"] = "content"
    offset: int
    message: str


class AiEvent(LogEvent):
    """The run's end and the whole text, equal to all content deltas joined."""

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
    type: Literal["edited"] = "edited"
    id: str
    message: str


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
    | NoticeEvent
)


# Transients


class SystemMessage(Message):
    type: Literal["system"] = "system"
    message: str


class Hello(SystemMessage):
    """The first frame of every connection."""

    message: str = "Connected to chat server..."
    session: str
    epoch: str
    head: int
    recovered: bool
    model: str
    protocol: int = PROTOCOL_VERSION


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
    """Another conversation of this person changed."""

    type: Literal["session"] = "session"
    id: str
    title: str
    running: bool
    updated: float


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


# Parsing and encoding


class BadFrame(Exception):
    """A frame that is not a command. Carries what the answering `ErrorMessage` says."""

    def __init__(self, code: ErrorCode, message: str, cmd_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cmd_id = cmd_id


_client_message: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


def parse_command(text: str) -> ClientMessage:
    """Read one frame. `{"message": ...}` alone means a `user` command. Raises BadFrame."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame("bad_json", f"That is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BadFrame("bad_message", 'A frame is a JSON object, such as {"message": "Hello"}.')
    data.setdefault("type", "user")
    raw_id = data.get("cmd_id")
    cmd_id = raw_id if isinstance(raw_id, str) and len(raw_id) <= 64 else None
    try:
        return _client_message.validate_python(data, strict=True)
    except ValidationError as error:
        raise _bad_frame(error, cmd_id) from error


def _bad_frame(error: ValidationError, cmd_id: str | None) -> BadFrame:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"].startswith("union_tag"):
        return BadFrame("unknown_type", "There is no command of that type.", cmd_id)
    path = ".".join(str(part) for part in first["loc"][1:]) or "message"
    return BadFrame("bad_message", f"{path[:80]}: {first['msg']}.", cmd_id)


def encode(message: Message) -> str:
    """One frame of JSON text. Fields that are None are left out."""
    return message.model_dump_json(exclude_none=True)
