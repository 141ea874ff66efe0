"""Writes to the history what has changed in the conversations, behind everything else.

Owns what is not stored yet. Nothing here holds up an answer: changes are gathered for a moment and written together,
each conversation's all at once or not at all. A write that fails loses nothing: what it held stays noted, in memory,
and is tried again until it succeeds. Knows nothing of the database, and of conversations only what has changed.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from server.clock import Clock, Timer
from server.fold import Changes
from server.history.records import Change, HistoryError, MessageRecord, Piece, RunRecord
from server.node import Node
from server.session import Session

RETRY_S = 2.0
SAVED_TIMEOUT_S = 1.0
AT_ONCE = 100  # conversations in one write

log = structlog.get_logger()


class Writer(Protocol):
    """What the recorder needs of a history."""

    async def write(self, changes: Sequence[Change]) -> None: ...


@dataclass(slots=True)
class Unsaved:
    """What of one session is not stored yet, beside the changes that its state remembers.

    `version` counts the changes; `saved` is the last of them that is stored.
    """

    session: Session
    version: int = 0
    saved: int = 0
    run: RunRecord | None = None
    run_stored: bool = False
    runs: int = 0  # begun so far: the same answer may run again
    first_piece: int = 0
    pieces: list[Piece] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


class Recorder:
    """Gathers changes for `interval_s` seconds and writes them. Without a history it does nothing."""

    def __init__(
        self, history: Writer | None, clock: Clock, interval_s: float, tell: Callable[[str | None], None]
    ) -> None:
        """`tell` is called with a sentence when writing fails, and with None when it works again."""
        self.problem: str | None = None  # why nothing is written at the moment
        self._history = history
        self._clock = clock
        self._interval_s = interval_s
        self._tell = tell
        self._unsaved: dict[str, Unsaved] = {}
        self._due: Timer | None = None
        self._due_at = 0.0
        self._failed_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._written = asyncio.Event()

    @property
    def on(self) -> bool:
        """Whether conversations are being stored."""
        return self._history is not None and self.problem is None

    def failing(self, problem: str) -> None:
        """Nothing can be written for now, and why."""
        self._failed_at = self._clock.now()
        if self.problem is None:
            log.warning("conversations are not being saved", reason=problem)
            self.problem = problem
            self._tell(problem)

    def changed(self, session: Session, *, at_once: bool = False) -> None:
        """Something in `session` is another. `at_once`: people count on it from now on."""
        if self._history is None:
            session.state.take_changes()
            return
        self._of(session).version += 1
        self._write_in(0.0 if at_once else self._interval_s)

    def running(self, session: Session, run: RunRecord, first_piece: int | None = None) -> None:
        """`run` is the answer that runs in `session`; its pieces are numbered from `first_piece`, if it begins."""
        if self._history is None:
            return
        unsaved = self._of(session)
        unsaved.run, unsaved.run_stored = run, False
        if first_piece is not None:
            unsaved.first_piece, unsaved.pieces = first_piece, []
            unsaved.runs += 1
        self.changed(session, at_once=True)

    def piece(self, session: Session, piece: Piece) -> None:
        """The answer that runs in `session` has grown."""
        if self._history is not None:
            self._of(session).pieces.append(piece)
            self.changed(session)

    def ended(self, session: Session, identity: str) -> None:
        """The run `identity` is over: its message says it all."""
        if self._history is None:
            return
        unsaved = self._of(session)
        unsaved.run, unsaved.pieces = None, []
        unsaved.ended.append(identity)
        self.changed(session, at_once=True)

    async def saved(self, session: Session) -> bool:
        """Wait until what `session` is now is stored. False when it is not, since the history is off or slow."""
        unsaved = self._unsaved.get(session.id)
        if unsaved is None or not self.on:
            return self.on
        version = unsaved.version
        try:
            async with asyncio.timeout(SAVED_TIMEOUT_S):
                while unsaved.saved < version and self.on:
                    await self._written.wait()
        except TimeoutError:
            return False
        return self.on

    def has_all(self, session: Session) -> bool:
        """Whether everything of `session` is stored, or nothing ever is."""
        unsaved = self._unsaved.get(session.id)
        return unsaved is None or unsaved.saved == unsaved.version

    def forget(self, session_id: str) -> None:
        """That session is gone: nothing of it is to be written any more."""
        self._unsaved.pop(session_id, None)

    async def flush(self) -> None:
        """Write all there is, as far as that can be done now."""
        self._write_in(0.0)
        while self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """Write all there is for the last time."""
        await self.flush()
        if self._due is not None:
            self._due.cancel()

    def _of(self, session: Session) -> Unsaved:
        return self._unsaved.setdefault(session.id, Unsaved(session))

    def _write_in(self, delay: float) -> None:
        now = self._clock.now()
        if self.problem is not None:
            delay = max(delay, self._failed_at + RETRY_S - now)
        due_at = now + delay
        if self._task is not None or (self._due is not None and self._due_at <= due_at):
            self._due_at = min(self._due_at, due_at)
            return
        if self._due is not None:
            self._due.cancel()
        self._due_at = due_at
        if delay > 0:
            self._due = self._clock.call_later(delay, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._due = None
        # for everybody: its lines in the log are about no run, not even the one that it follows
        writing, nobody = self._write_all(), contextvars.Context()
        self._task = asyncio.get_running_loop().create_task(writing, name="history", context=nobody)
        self._task.add_done_callback(self._wrote, context=nobody)

    def _wrote(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._written.set()
        self._written = asyncio.Event()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the history could not be written", exc_info=error)
        if any(unsaved.saved != unsaved.version for unsaved in self._unsaved.values()):
            self._write_in(max(0.0, self._due_at - self._clock.now()))

    async def _write_all(self) -> None:
        """Write what is unsaved at this moment."""
        self._due_at = self._clock.now() + self._interval_s
        todo = [unsaved for unsaved in self._unsaved.values() if unsaved.saved != unsaved.version]
        for start in range(0, len(todo), AT_ONCE):
            if not await self._write([_Batch(unsaved) for unsaved in todo[start : start + AT_ONCE]]):
                return

    async def _write(self, batches: list[_Batch]) -> bool:
        assert self._history is not None
        try:
            await self._history.write([batch.change for batch in batches])
        except HistoryError as error:
            self._failed(batches, str(error))
            return False
        except asyncio.CancelledError:
            for batch in batches:
                batch.failed()
            raise
        except Exception:
            self._failed(batches, "Something went wrong. The server's log says what.")
            raise
        for batch in batches:
            batch.succeeded()
            if batch.unsaved.saved == batch.unsaved.version and batch.unsaved.run is None:
                self._unsaved.pop(batch.unsaved.session.id, None)
        if self.problem is not None:
            self.problem = None
            self._tell(None)
        return True

    def _failed(self, batches: list[_Batch], problem: str) -> None:
        for batch in batches:
            batch.failed()
        self.failing(problem)


class _Batch:
    """What of one session is being written."""

    def __init__(self, unsaved: Unsaved) -> None:
        self.unsaved = unsaved
        self._version, self._runs = unsaved.version, unsaved.runs
        session = unsaved.session
        self._changes: Changes = session.state.take_changes()
        self.change = Change(
            about=session.about,
            head=session.head,
            messages=sorted(
                (_record(session, session.state.nodes[identity]) for identity in self._changes.messages),
                key=lambda record: record.position,
            ),
            removed=sorted(self._changes.removed),
            queue=session.waiting() if self._changes.queue else None,
            run=unsaved.run,
            run_stored=unsaved.run_stored,
            first_piece=unsaved.first_piece,
            pieces=tuple(unsaved.pieces),
            ended=tuple(unsaved.ended),
        )

    def succeeded(self) -> None:
        unsaved, change = self.unsaved, self.change
        unsaved.saved = self._version
        unsaved.ended = unsaved.ended[len(change.ended) :]
        if unsaved.run is not None and unsaved.runs == self._runs:
            unsaved.run_stored = unsaved.run is change.run
            unsaved.pieces = unsaved.pieces[len(change.pieces) :]
            unsaved.first_piece += len(change.pieces)

    def failed(self) -> None:
        self.unsaved.session.state.give_back(self._changes)
        self.unsaved.run_stored = False  # the file may be another one by now


def _record(session: Session, node: Node) -> MessageRecord:
    """A running answer is kept as it was when it began: what came since is in its pieces."""
    message = session.state.message(node)
    if node.running:
        content, reasoning = node.kept
        kept = {"message": message.message[:content], "reasoning": (message.reasoning or "")[:reasoning] or None}
        message = message.model_copy(update=kept)
    return MessageRecord(node.position, message)
