"""What a session's log adds up to: a pure fold from events to a tree of messages, the running answers and the queue.

Knows nothing of sockets, time or models. The server keeps one at the head of every log and takes snapshots from it; a
client that applies the same events, or starts from a snapshot, arrives at the same state. Applying an event a second
time changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backends.base import FinishReason
from server.protocol import (
    AiEvent,
    AnyLogEvent,
    ChatParams,
    DeltaEvent,
    EditedEvent,
    ErrorEvent,
    NoticeEvent,
    QueuedEvent,
    QueuedPrompt,
    RemovedEvent,
    RunError,
    RunningAnswer,
    SelectedEvent,
    Snapshot,
    SnapshotMessage,
    TimingInfo,
    TypingEvent,
    UsageInfo,
    UserEvent,
)


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
    """One message of the tree. An answer without `finish_reason` and `error` is still running."""

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

    @property
    def running(self) -> bool:
        return self.role == "ai" and self.finish_reason is None and self.error is None


class Conversation:
    """The state after the events up to `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.nodes: dict[str, Node] = {}  # in the order they came
        self.queue: dict[str, QueuedPrompt] = {}
        self.dropped: set[str] = set()  # messages that a notice said the model is no longer shown
        self._chosen: dict[str | None, str] = {}  # of each message's children, the one the person looks at

    def apply(self, event: AnyLogEvent) -> None:
        """Take in the next event. One that was applied before changes nothing; one out of turn raises Hole."""
        if event.seq <= self.seq:
            return
        if event.seq != self.seq + 1:
            raise Hole(f"event {event.seq} after {self.seq}")
        self._change(event)
        self.seq = event.seq

    def _change(self, event: AnyLogEvent) -> None:
        match event:
            case DeltaEvent():
                node = self.nodes[event.id]
                (node.content if event.channel == "content" else node.reasoning).add(event.offset, event.message)
            case UserEvent():
                self._add_user(event)
            case TypingEvent():
                self._add_answer(event)
            case AiEvent():
                self._finish(event)
            case ErrorEvent():
                self.nodes[event.id].error = RunError(
                    code=event.code, message=event.message, retry_after=event.retry_after
                )
            case QueuedEvent():
                self.queue[event.id] = QueuedPrompt(id=event.id, message=event.message, cmd_id=event.cmd_id)
            case EditedEvent():
                self.queue[event.id] = self.queue[event.id].model_copy(update={"message": event.message})
            case RemovedEvent():
                self._remove(event.id)
            case SelectedEvent():
                self._choose(event.id)
            case NoticeEvent():
                self._add_notice(event)

    def _add_user(self, event: UserEvent) -> None:
        self.queue.pop(event.id, None)
        text = GrowingText(event.message)
        self.nodes[event.id] = Node(event.id, "user", event.parent_id, text, cmd_id=event.cmd_id, run=event.run)
        self._choose(event.id)

    def _add_answer(self, event: TypingEvent) -> None:
        asked = next((node.id for node in reversed(self.nodes.values()) if node.run == event.id), None)
        self.nodes[event.id] = Node(event.id, "ai", asked, model=event.model)
        self._choose(event.id)

    def _add_notice(self, event: NoticeEvent) -> None:
        """A notice hangs on the message it followed; it is no turn of the conversation, so it is never chosen."""
        identity = f"notice-{event.seq}"
        self.nodes[identity] = Node(identity, "notice", self.leaf(), GrowingText(event.message))
        self.dropped.update(event.dropped or ())

    def _finish(self, event: AiEvent) -> None:
        node = self.nodes[event.id]
        node.content = GrowingText(event.message)
        node.reasoning = GrowingText(event.reasoning or "")
        node.finish_reason = event.finish_reason
        node.usage, node.timings = event.usage, event.timings
        node.model, node.params = event.model, event.params

    def _remove(self, identity: str) -> None:
        if self.queue.pop(identity, None) is not None:
            return
        doomed = {identity}
        for node in self.nodes.values():  # parents come before their children
            if node.parent_id in doomed:
                doomed.add(node.id)
        parent = self.nodes[identity].parent_id
        for gone in doomed:
            del self.nodes[gone]
            self._chosen.pop(gone, None)
        left = [node.id for node in self.nodes.values() if node.parent_id == parent and node.role != "notice"]
        if self._chosen.get(parent) in doomed:
            self._chosen.pop(parent)
            if left:
                self._chosen[parent] = left[-1]

    def _choose(self, identity: str) -> None:
        """Look at this message, and so at everything above it."""
        at: str | None = identity
        while at is not None:
            parent = self.nodes[at].parent_id
            self._chosen[parent] = at
            at = parent

    def leaf(self) -> str | None:
        """The last message of the selected branch."""
        at: str | None = None
        while (child := self._chosen.get(at)) is not None:
            at = child
        return at

    def path(self, identity: str | None) -> list[Node]:
        """The messages from the first one down to `identity`."""
        upwards = []
        while identity is not None:
            upwards.append(self.nodes[identity])
            identity = self.nodes[identity].parent_id
        return upwards[::-1]

    def snapshot(self, session: str, epoch: str) -> Snapshot:
        """The whole state as one message."""
        return Snapshot(
            session=session,
            epoch=epoch,
            seq=self.seq,
            messages=[self._message(node) for node in self.nodes.values()],
            running=[_running(node) for node in self.nodes.values() if node.running],
            queue=list(self.queue.values()),
        )

    def _message(self, node: Node) -> SnapshotMessage:
        return SnapshotMessage(
            id=node.id,
            parent_id=node.parent_id,
            role=node.role,
            message=str(node.content),
            reasoning=str(node.reasoning) or None,
            finish_reason=node.finish_reason,
            error=node.error,
            selected=node.role == "notice" or self._chosen.get(node.parent_id) == node.id,
            cmd_id=node.cmd_id,
            run=node.run,
            model=node.model,
            usage=node.usage,
            timings=node.timings,
            params=node.params,
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Conversation:
        """The state a snapshot was taken from: how a client begins when it does not have the log's beginning."""
        state = cls()
        state.seq = snapshot.seq
        state.queue = {prompt.id: prompt for prompt in snapshot.queue}
        for message in snapshot.messages:
            state.nodes[message.id] = _node(message)
            if message.selected and message.role != "notice":
                state._chosen[message.parent_id] = message.id
        return state


def _running(node: Node) -> RunningAnswer:
    return RunningAnswer(
        id=node.id,
        parent_id=node.parent_id or "",
        model=node.model or "",
        message=str(node.content),
        reasoning=str(node.reasoning),
    )


def _node(message: SnapshotMessage) -> Node:
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
    )
