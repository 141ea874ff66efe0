"""The conversation as the terminal knows it: a fold over the session's log.

Owns the tree of messages, the queue, and the place in the log (`session`, `epoch`, `seq`). Only `apply` changes them,
and applying an event twice changes nothing. Knows nothing of sockets and nothing of the screen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, cast

from terminal.frames import (
    Ai,
    Delta,
    Edited,
    Event,
    Failed,
    Failure,
    Moved,
    Notice,
    Queued,
    Removed,
    Selected,
    Snapshot,
    System,
    Timings,
    Told,
    Typing,
    Usage,
    User,
    Waiting,
)

Outcome = Literal["applied", "known", "gap"]


class Growing:
    """Text that is only ever added to. Lengths are code points, as the protocol's offsets are."""

    __slots__ = ("_pieces", "length")

    def __init__(self, text: str = "") -> None:
        self._pieces = [text]
        self.length = len(text)

    def add(self, offset: int, piece: str) -> None:
        """Add what of `piece` is new."""
        fresh = piece[self.length - offset :]
        self._pieces.append(fresh)
        self.length += len(fresh)

    def __str__(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]


@dataclass(slots=True)
class Message:
    """One message of the tree. `run`: of a person's message, the id of the answer to it."""

    id: str
    role: str  # user, ai or notice
    parent_id: str | None
    content: Growing = field(default_factory=Growing)
    reasoning: Growing = field(default_factory=Growing)
    finish_reason: str | None = None
    error: Failure | None = None
    cmd_id: str | None = None
    run: str | None = None
    model: str = ""
    usage: Usage | None = None
    timings: Timings | None = None

    @property
    def running(self) -> bool:
        return self.role == "ai" and self.finish_reason is None and self.error is None


class Conversation:
    """The state after the events up to `seq`."""

    def __init__(self, session: str | None = None) -> None:
        self.session = session
        self.epoch: str | None = None
        self.seq = 0
        self.messages: dict[str, Message] = {}  # in the order they came
        self.queue: dict[str, Waiting] = {}
        self._chosen: dict[str | None, str] = {}  # of each message's children, the one that is looked at

    def greet(self, hello: System) -> None:
        """Take over whose log this is. The epoch stands once something of it was applied; a snapshot brings its own."""
        self.session = hello.session
        if self.seq == 0:
            self.epoch = hello.epoch

    def place(self) -> dict[str, str]:
        """What to ask the socket for, to go on from here."""
        if self.session is None:
            return {}
        if self.epoch is None or self.seq == 0:
            return {"session": self.session}
        return {"session": self.session, "epoch": self.epoch, "after": str(self.seq)}

    def apply(self, event: Event | Snapshot) -> Outcome:
        """Fold an event of the log, or a snapshot. `gap`: something before it is missing; come back from `place`."""
        if isinstance(event, Snapshot):
            self._restore(event)
            return "applied"
        if event.seq <= self.seq:
            return "known"
        if event.seq != self.seq + 1 or not self._fits(event):
            return "gap"
        self.seq = event.seq
        fold = self._folds.get(type(event))
        if fold is not None:
            fold(self, event)
        return "applied"

    def path(self) -> list[Message]:
        """The messages from the first to the last of the branch that is looked at, notices where they were told."""
        hanging: dict[str | None, list[Message]] = {}
        for message in self.messages.values():
            if message.role == "notice":
                hanging.setdefault(message.parent_id, []).append(message)
        found, at = list(hanging.get(None, ())), self._chosen.get(None)
        while at is not None:
            found += [self.messages[at], *hanging.get(at, ())]
            at = self._chosen.get(at)
        return found

    def last_answer(self) -> Message | None:
        """The last answer of the branch that is looked at."""
        return next((message for message in reversed(self.path()) if message.role == "ai"), None)

    def run_of(self, cmd_id: str) -> str | None:
        """The id of the answer that a command asked for, as soon as the log says it."""
        for message in reversed(self.messages.values()):
            if message.cmd_id == cmd_id:
                return message.run if message.role == "user" else message.id
        return None

    def waits(self, cmd_id: str) -> int | None:
        """The place in the queue of the message that a command said; 1 is next. None: it is not there."""
        places = (at for at, waiting in enumerate(self.queue.values(), 1) if waiting.cmd_id == cmd_id)
        return next(places, None)

    # Folding

    def _fits(self, frame: Event) -> bool:
        """Whether a piece of text leaves no hole; of any other event its `seq` says enough."""
        if not isinstance(frame, Delta):
            return True
        message = self.messages.get(frame.id)
        return message is not None and frame.offset <= self._channel(message, frame).length

    @staticmethod
    def _channel(message: Message, frame: Delta) -> Growing:
        return message.content if frame.channel == "content" else message.reasoning

    def _restore(self, snapshot: Snapshot) -> None:
        self.session, self.epoch, self.seq = snapshot.session, snapshot.epoch, snapshot.seq
        self.queue = {waiting.id: waiting for waiting in snapshot.queue}
        self.messages, self._chosen = {}, {}
        for told in snapshot.messages:
            self.messages[told.id] = _message(told)
            if told.selected and told.role != "notice":
                self._chosen[told.parent_id] = told.id

    def _add(self, message: Message) -> Message:
        self.messages[message.id] = message
        self._choose(message.id)
        return message

    def _choose(self, identity: str) -> None:
        at: str | None = identity
        while at is not None and at in self.messages:
            parent = self.messages[at].parent_id
            self._chosen[parent] = at
            at = parent

    def _queued(self, frame: Queued) -> None:
        self.queue[frame.id] = Waiting(id=frame.id, message=frame.message, cmd_id=frame.cmd_id)

    def _edited(self, frame: Edited) -> None:
        if frame.id in self.queue:
            self.queue[frame.id] = self.queue[frame.id].model_copy(update={"message": frame.message})

    def _moved(self, frame: Moved) -> None:
        order = [identity for identity in self.queue if identity != frame.id]
        order.insert(frame.position, frame.id)
        self.queue = {identity: self.queue[identity] for identity in order if identity in self.queue}

    def _user(self, frame: User) -> None:
        self.queue.pop(frame.id, None)
        text = Growing(frame.message)
        self._add(Message(frame.id, "user", frame.parent_id, text, cmd_id=frame.cmd_id, run=frame.run))

    def _typing(self, frame: Typing) -> None:
        message = self.messages.get(frame.id)
        if message is None:
            asked = (each.id for each in reversed(self.messages.values()) if each.run == frame.id)
            message = self._add(Message(frame.id, "ai", frame.parent_id or next(asked, None)))
        self._choose(frame.id)
        message.model, message.cmd_id = frame.model, frame.cmd_id
        message.finish_reason = message.error = message.usage = message.timings = None

    def _delta(self, frame: Delta) -> None:
        self._channel(self.messages[frame.id], frame).add(frame.offset, frame.message)

    def _ai(self, frame: Ai) -> None:
        message = self.messages.get(frame.id)
        if message is None:
            message = self._add(Message(frame.id, "ai", frame.parent_id, cmd_id=frame.cmd_id))
        message.content, message.reasoning = Growing(frame.message), Growing(frame.reasoning or "")
        message.finish_reason, message.model = frame.finish_reason, frame.model
        message.usage, message.timings = frame.usage, frame.timings

    def _failed(self, frame: Failed) -> None:
        if frame.id in self.messages:
            failure = Failure(code=frame.code, message=frame.message, retry_after=frame.retry_after)
            self.messages[frame.id].error = failure

    def _selected(self, frame: Selected) -> None:
        if frame.id in self.messages:
            self._choose(frame.id)

    def _removed(self, frame: Removed) -> None:
        if self.queue.pop(frame.id, None) is not None or frame.id not in self.messages:
            return
        parent, doomed = self.messages[frame.id].parent_id, {frame.id}
        for message in self.messages.values():  # parents come before their children
            if message.parent_id in doomed:
                doomed.add(message.id)
        for gone in doomed:
            del self.messages[gone]
            self._chosen.pop(gone, None)
        if self._chosen.get(parent) in doomed:
            del self._chosen[parent]
            left = [each.id for each in self.messages.values() if each.parent_id == parent and each.role != "notice"]
            if left:
                self._chosen[parent] = left[-1]

    def _notice(self, frame: Notice) -> None:
        """It hangs on the message that it followed, and is no turn of the conversation."""
        turns = [message for message in self.path() if message.role != "notice"]
        identity = f"notice-{frame.seq}"
        parent = turns[-1].id if turns else None
        self.messages[identity] = Message(identity, "notice", parent, Growing(frame.message))

    _folds = cast(
        dict[type[Event], Callable[["Conversation", Event], None]],
        {
            Queued: _queued,
            Edited: _edited,
            Moved: _moved,
            User: _user,
            Typing: _typing,
            Delta: _delta,
            Ai: _ai,
            Failed: _failed,
            Selected: _selected,
            Removed: _removed,
            Notice: _notice,
        },
    )


def _message(told: Told) -> Message:
    return Message(
        told.id,
        told.role,
        told.parent_id,
        Growing(told.message),
        Growing(told.reasoning or ""),
        finish_reason=told.finish_reason,
        error=told.error,
        cmd_id=told.cmd_id,
        run=told.run,
        model=told.model or "",
        usage=told.usage,
        timings=told.timings,
    )
