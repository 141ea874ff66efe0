"""What a session's log adds up to: a pure fold from events to a tree of messages, the running answers and the queue.

Knows nothing of sockets, time or models. The server keeps one at the head of every log and takes snapshots from it; a
client that applies the same events, or starts from a snapshot, arrives at the same state. Applying an event a second
time changes nothing. It remembers which messages have changed until somebody takes note of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.node import GrowingText, Hole, Node, message_of, node_of, running_answer
from server.protocol import (
    AiEvent,
    AnyLogEvent,
    DeltaEvent,
    EditedEvent,
    ErrorEvent,
    MovedEvent,
    NoticeEvent,
    QueuedEvent,
    QueuedPrompt,
    RemovedEvent,
    RunError,
    SelectedEvent,
    Snapshot,
    SnapshotMessage,
    TypingEvent,
    UserEvent,
)


@dataclass(slots=True, frozen=True)
class Changes:
    """What is another than before: messages by their ids, those that are gone, and whether the queue is."""

    messages: frozenset[str]
    removed: frozenset[str]
    queue: bool


class Conversation:
    """The state after the events up to `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.nodes: dict[str, Node] = {}  # in the order they came
        self.queue: dict[str, QueuedPrompt] = {}
        self.dropped: set[str] = set()  # messages that a notice said the model is no longer shown
        self._chosen: dict[str | None, str] = {}  # of each message's children, the one the person looks at
        self._positions = 0
        self._changed: set[str] = set()
        self._removed: set[str] = set()
        self._queue_changed = False

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
                self._begin_answer(event)
            case AiEvent():
                self._finish(event)
            case ErrorEvent():
                self._fail(event)
            case QueuedEvent():
                self._enqueue(QueuedPrompt(id=event.id, message=event.message, cmd_id=event.cmd_id))
            case EditedEvent():
                self._enqueue(self.queue[event.id].model_copy(update={"message": event.message}))
            case MovedEvent():
                self._move(event.id, event.position)
            case RemovedEvent():
                self._remove(event.id)
            case SelectedEvent():
                self._choose(event.id)
            case NoticeEvent():
                self._add_notice(event)

    # The tree

    def _add(self, node: Node) -> Node:
        node.position = self._positions
        self._positions += 1
        self.nodes[node.id] = node
        self._changed.add(node.id)
        if node.role != "notice":  # which is no turn of the conversation
            self._choose(node.id)
        return node

    def _add_user(self, event: UserEvent) -> None:
        self._unqueue(event.id)
        text = GrowingText(event.message)
        self._add(Node(event.id, "user", event.parent_id, text, cmd_id=event.cmd_id, run=event.run, at=event.at))

    def _begin_answer(self, event: TypingEvent) -> None:
        node = self.nodes.get(event.id)
        if node is None:
            asked = event.parent_id or next(
                (each.id for each in reversed(self.nodes.values()) if each.run == event.id), None
            )
            node = self._add(Node(event.id, "ai", asked, at=event.at))
        self._changed.add(node.id)
        self._choose(node.id)
        node.model, node.cmd_id = event.model, event.cmd_id
        node.kept = (node.content.length, node.reasoning.length)
        node.finish_reason = node.error = node.usage = node.timings = None

    def _add_notice(self, event: NoticeEvent) -> None:
        """A notice hangs on the message it followed."""
        self._add(Node(f"notice-{event.seq}", "notice", self.leaf(), GrowingText(event.message)))
        self.dropped.update(event.dropped or ())

    def _fail(self, event: ErrorEvent) -> None:
        self._changed.add(event.id)
        self.nodes[event.id].error = RunError(code=event.code, message=event.message, retry_after=event.retry_after)

    def _finish(self, event: AiEvent) -> None:
        node = self.nodes.get(event.id)
        if node is None:
            node = self._add(Node(event.id, "ai", event.parent_id, cmd_id=event.cmd_id, at=event.at))
        self._changed.add(node.id)
        node.content = GrowingText(event.message)
        node.reasoning = GrowingText(event.reasoning or "")
        node.finish_reason = event.finish_reason
        node.usage, node.timings = event.usage, event.timings
        node.model, node.params = event.model, event.params

    def branch(self, identity: str) -> set[str]:
        """The ids of a message and of all that follows it, on every path."""
        found = {identity}
        for node in self.nodes.values():  # parents come before their children
            if node.parent_id in found:
                found.add(node.id)
        return found

    def _remove(self, identity: str) -> None:
        if self._unqueue(identity):
            return
        doomed = self.branch(identity)
        parent = self.nodes[identity].parent_id
        for gone in doomed:
            del self.nodes[gone]
            self._chosen.pop(gone, None)
        self._removed |= doomed
        self._changed -= doomed
        left = [node.id for node in self.nodes.values() if node.parent_id == parent and node.role != "notice"]
        if self._chosen.get(parent) in doomed:
            del self._chosen[parent]
            if left:
                self._choose_child(parent, left[-1])

    def _choose(self, identity: str) -> None:
        """Look at this message, and so at everything above it."""
        at: str | None = identity
        while at is not None:
            parent = self.nodes[at].parent_id
            self._choose_child(parent, at)
            at = parent

    def _choose_child(self, parent: str | None, child: str) -> None:
        former = self._chosen.get(parent)
        if former != child:
            self._chosen[parent] = child
            self._changed |= {child} if former is None else {child, former}

    # The queue

    def _enqueue(self, prompt: QueuedPrompt) -> None:
        self.queue[prompt.id] = prompt
        self._queue_changed = True

    def _unqueue(self, identity: str) -> bool:
        waited = self.queue.pop(identity, None) is not None
        self._queue_changed = self._queue_changed or waited
        return waited

    def _move(self, identity: str, position: int) -> None:
        order = [each for each in self.queue if each != identity]
        order.insert(position, identity)
        self.queue = {each: self.queue[each] for each in order}
        self._queue_changed = True

    # Reading

    def take_changes(self) -> Changes:
        """What has changed since this was last asked."""
        changes = Changes(frozenset(self._changed), frozenset(self._removed), self._queue_changed)
        self._changed, self._removed, self._queue_changed = set(), set(), False
        return changes

    def give_back(self, changes: Changes) -> None:
        """What was taken is still to be told."""
        self._changed |= {identity for identity in changes.messages if identity in self.nodes}
        self._removed |= changes.removed
        self._queue_changed = self._queue_changed or changes.queue

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
            messages=[self.message(node) for node in self.nodes.values()],
            running=[running_answer(node) for node in self.nodes.values() if node.running],
            queue=list(self.queue.values()),
        )

    def message(self, node: Node) -> SnapshotMessage:
        """One message of the tree, as a snapshot has it."""
        return message_of(node, selected=node.role == "notice" or self._chosen.get(node.parent_id) == node.id)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Conversation:
        """The state a snapshot was taken from: how a client begins when it does not have the log's beginning."""
        state = cls()
        state.seq = snapshot.seq
        state.queue = {prompt.id: prompt for prompt in snapshot.queue}
        for message in snapshot.messages:
            state.restore(message, state._positions)
        return state

    def restore(self, message: SnapshotMessage, position: int) -> Node:
        """Put back a message that was in the tree before, after those that came before it. That is no change."""
        node = self.nodes[message.id] = node_of(message)
        node.position = position
        self._positions = position + 1
        if message.selected and message.role != "notice":
            self._chosen[message.parent_id] = message.id
        return node
