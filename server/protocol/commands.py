"""Commands: what a client asks for. Each typed one is answered by an `Ack` or an `ErrorMessage` with its `cmd_id`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
    """Answer once more, beside the answer `id`."""

    type: Literal["regenerate"]
    id: Id


class EditCommand(Command):
    """Say the message `id` in other words, beside it. A person's message is answered anew."""

    type: Literal["edit"]
    id: Id
    message: str


class ContinueCommand(Command):
    """Go on with the answer `id` where it ended, in the same message."""

    type: Literal["continue"]
    id: Id


class SelectCommand(Command):
    """Look at the branch that the message `id` is on."""

    type: Literal["select"]
    id: Id


class RemoveCommand(Command):
    """Take away the message `id` and all that follows it."""

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
    """Move a waiting message; at `position` 0 it is next."""

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
