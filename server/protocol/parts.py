"""What messages are made of."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from backends.base import FinishReason, Kind, ModelState
from server.protocol.codes import ErrorCode
from server.protocol.commands import ChatParams


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
    at: float | None = None  # when it came, in Unix seconds


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
