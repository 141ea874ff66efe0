"""Whose turn it is in one session: one answer runs, further prompts wait, and each starts when the one before ends.

Owns the queue, the running answer, and what becomes of both when nobody watches. Knows nothing of backends or sockets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from backends.base import Event
from server.clock import Clock, Timer
from server.commands import CommandRefused, Receipts
from server.prompt import Prompt
from server.protocol import ProgressMessage, QueuedEvent, RemovedEvent
from server.run import Run
from server.session import Session

MAX_WAITING = 16


@dataclass(slots=True, frozen=True)
class Answering:
    """How answers come about: the hub's side of every session's turns."""

    events: Callable[[Run], AsyncGenerator[Event, None]]
    model: Callable[[str | None], str]  # the full name of the model that is asked for
    began: Callable[[Run], None]
    rest: Callable[[Session], None]  # no answer runs there any more
    flush_s: float
    detach_timeout_s: float


class Turns:
    """The running answer of one session and the prompts that wait for it."""

    def __init__(self, session: Session, answering: Answering, clock: Clock) -> None:
        self.session = session
        self.receipts = Receipts(clock)
        self.run: Run | None = None
        self._waiting: dict[str, Prompt] = {}
        self._answering = answering
        self._clock = clock
        self._detach: Timer | None = None
        self._abandoned = False  # nobody came back in time: nothing starts until somebody does
        self._closed = False

    @property
    def busy(self) -> bool:
        return self.run is not None or bool(self._waiting)

    def ask(self, prompt: Prompt) -> int:
        """Answer `prompt`, now or when its turn comes. Gives the `seq` of its first event. Raises CommandRefused."""
        self._abandoned = False  # whoever asks is there
        self._next()
        if self.run is None:
            return self._begin(prompt)
        if len(self._waiting) >= MAX_WAITING:
            raise CommandRefused("overloaded", "Too many messages wait here already.", retry_after=5)
        self._waiting[prompt.id] = prompt
        seq = self.session.publish(QueuedEvent(id=prompt.id, message=prompt.message, cmd_id=prompt.cmd_id))
        self._show_positions()
        return seq

    def stop(self, identity: str | None) -> bool:
        """End the run of that id, of that prompt's id, or the newest. False when there is no such run or prompt."""
        run = self.run
        if run is not None and identity in (None, run.id, run.prompt.id):
            run.end("cancelled")
            return True
        known = identity is None or identity in self.session.state.nodes  # it may have ended a moment ago
        return known or self.remove(identity)

    def remove(self, identity: str | None) -> bool:
        """Take a prompt out of the queue, by its id or its run's. False when it does not wait."""
        prompt = next((each for each in self._waiting.values() if identity in (each.id, each.run)), None)
        if prompt is None:
            return False
        del self._waiting[prompt.id]
        self.session.settle(prompt.id)
        self.session.publish(RemovedEvent(id=prompt.id))
        self._show_positions()
        return True

    def attend(self) -> None:
        """Somebody watches the session now, or nobody does any more."""
        if self.session.subscribers:
            self._cancel_detach()
            self._abandoned = False
            self._next()
        elif self.busy:
            self._expect_somebody()

    def close(self) -> None:
        """The server goes down: end the answer, and start no other."""
        self._closed = True
        self._cancel_detach()
        if self.run is not None:
            self.run.end("interrupted")

    def _begin(self, prompt: Prompt) -> int:
        model = self._answering.model(prompt.model)
        self.run = Run(prompt, model, self.session, self._clock, self._answering.flush_s, self._run_ended)
        seq = self.run.start(prompt.parent_id or self.session.state.leaf(), self._answering.events)
        self._answering.began(self.run)
        if not self.session.subscribers:
            self._expect_somebody()
        return seq

    def _run_ended(self) -> None:
        self.run = None
        self._next()
        if not self.busy:
            self._cancel_detach()
        if self.run is None:
            self._answering.rest(self.session)

    def _next(self) -> None:
        if self.run is None and self._waiting and not (self._abandoned or self._closed):
            prompt = self._waiting.pop(next(iter(self._waiting)))
            self.session.settle(prompt.id)
            self._begin(prompt)
            self._show_positions()

    def _show_positions(self) -> None:
        for position, prompt in enumerate(self._waiting.values(), start=1):
            self.session.transient(ProgressMessage(id=prompt.id, phase="queued", position=position))

    def _expect_somebody(self) -> None:
        if self._detach is None:
            self._detach = self._clock.call_later(self._answering.detach_timeout_s, self._abandon)

    def _cancel_detach(self) -> None:
        if self._detach is not None:
            self._detach.cancel()
            self._detach = None

    def _abandon(self) -> None:
        self._detach = None
        self._abandoned = True
        if self.run is not None:
            self.run.end("abandoned")
