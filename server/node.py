"""The parts of a conversation's tree: its messages, whose texts may grow, and how each is told on the wire.

Knows nothing of the tree's shape or of events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backends.base import FinishReason
from server.protocol import ChatParams, RunError, RunningAnswer, SnapshotMessage, TimingInfo, UsageInfo


class Hole(Exception):
    """An event does not follow what was applied before it: something in between is missing."""


class GrowingText:
    """Text that is only ever added to, in time that grows with the piece and not with the whole."""

    __slots__ = ("_pieces", "length")

    def __init__(self, text: str = "") -> None:
        self._pieces = [text]
        self.length = len(text)  # in code points

    def add(self, offset: int, piece: str) -> None:
        """Add `piece` at `offset`. A piece from the past changes nothing; one from the future raises Hole."""
        if offset > self.length:
            raise Hole(f"a piece at {offset} after {self.length} code points")
        fresh = piece[self.length - offset :]
        self._pieces.append(fresh)
        self.length += len(fresh)

    def __str__(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]


@dataclass(slots=True)
class Node:
    """One message of the tree. An answer without `finish_reason` and `error` is still running.

    `position` counts all messages in the order they came. `kept`: the code points of content and reasoning that a
    running answer had already when its run began.
    """

    id: str
    role: Literal["user", "ai", "notice"]
    parent_id: str | None
    content: GrowingText = field(default_factory=GrowingText)
    reasoning: GrowingText = field(default_factory=GrowingText)
    finish_reason: FinishReason | None = None
    error: RunError | None = None
    cmd_id: str | None = None
    run: str | None = None
    model: str | None = None
    usage: UsageInfo | None = None
    timings: TimingInfo | None = None
    params: ChatParams | None = None
    at: float | None = None
    position: int = 0
    kept: tuple[int, int] = (0, 0)

    @property
    def running(self) -> bool:
        return self.role == "ai" and self.finish_reason is None and self.error is None


def message_of(node: Node, *, selected: bool) -> SnapshotMessage:
    """One message of the tree, as a snapshot has it."""
    return SnapshotMessage(
        id=node.id,
        parent_id=node.parent_id,
        role=node.role,
        message=str(node.content),
        reasoning=str(node.reasoning) or None,
        finish_reason=node.finish_reason,
        error=node.error,
        selected=selected,
        cmd_id=node.cmd_id,
        run=node.run,
        model=node.model,
        usage=node.usage,
        timings=node.timings,
        params=node.params,
        at=node.at,
    )


def running_answer(node: Node) -> RunningAnswer:
    """What is there of an answer in the making."""
    return RunningAnswer(
        id=node.id,
        parent_id=node.parent_id or "",
        model=node.model or "",
        message=str(node.content),
        reasoning=str(node.reasoning),
    )


def node_of(message: SnapshotMessage) -> Node:
    """The message as it was told."""
    return Node(
        id=message.id,
        role=message.role,
        parent_id=message.parent_id,
        content=GrowingText(message.message),
        reasoning=GrowingText(message.reasoning or ""),
        finish_reason=message.finish_reason,
        error=message.error,
        cmd_id=message.cmd_id,
        run=message.run,
        model=message.model,
        usage=message.usage,
        timings=message.timings,
        params=message.params,
        at=message.at,
    )
