"""Whose turn it is in one session: one answer runs, further prompts wait, and each starts when the one before ends.

Owns the queue, the running answer, and what becomes of both when nobody watches. Knows nothing of backends or sockets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any

from backends.base import Event
from server.checkpoint import Checkpoint
from server.clock import Clock, Timer
from server.commands import CommandRefused, Receipts
from server.prompt import Prompt
from server.protocol import Ack, EditedEvent, MovedEvent, ProgressMessage, QueuedEvent, RemovedEvent
from server.recorder import Recorder
from server.revival import Revived
from server.run import Run
from server.session import Session

MAX_WAITING = 16
REMEMBERED_MESSAGES = 16  # of an earlier life: whether the commands that made them were done
BUSY = "An answer is being written. Stop it first, or wait."


@dataclass(slots=True, frozen=True)
class Answering:
    """How answers come about: the hub's side of every session's turns."""

    events: Callable[[Run], AsyncGenerator[Event, None]]
    model: Callable[[str | None], str]  # the full name of the model that is asked for
    resumes: Callable[[str], bool]  # whether the backend of that model can go on with an answer that was cut
    recorder: Recorder
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
        self._closed = self._held = False
        session.waiting = self._dump_queue

    @property
    def busy(self) -> bool:
        return self.run is not None or bool(self._waiting)

    def ask(self, prompt: Prompt) -> int:
        """Answer `prompt`, now or when its turn comes. Gives the `seq` of its first event. Raises CommandRefused."""
        self._refuse_when_closed()
        if self._is_free():
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

    def ask_now(self, prompt: Prompt) -> int:
        """Answer `prompt` now, somewhere in the tree. Gives the `seq` of its first event.

        Raises CommandRefused while another answer runs.
        """
        self._refuse_when_closed()
        if not self._is_free():
            raise CommandRefused("overloaded", BUSY, retry_after=1)
        return self._begin(prompt)

    def reword(self, identity: str, message: str) -> bool:
        """Give a waiting prompt another text. False when it does not wait."""
        if identity not in self._waiting:
            return False
        self._waiting[identity] = replace(self._waiting[identity], message=message)
        self.session.publish(EditedEvent(id=identity, message=message))
        return True

    def move(self, identity: str, position: int) -> bool:
        """Give a waiting prompt another place; 0 is next. False when it does not wait."""
        if identity not in self._waiting:
            return False
        order = [each for each in self._waiting if each != identity]
        order.insert(position, identity)
        self._waiting = {each: self._waiting[each] for each in order}
        self.session.publish(MovedEvent(id=identity, position=order.index(identity)))
        self._show_positions()
        return True

    def cut(self, identity: str) -> int:
        """Take the branch from that message on out of the tree. An answer that runs in it is ended first.

        Gives the `seq` of what was published.
        """
        branch = self.session.state.branch(identity)
        if self.run is not None and not branch.isdisjoint((self.run.id, self.run.prompt.id)):
            self._held = True  # what waits must not begin in what is about to go
            self.run.end("cancelled")
            self._held = False
        seq = self.session.publish(RemovedEvent(id=identity))
        self._next()
        return seq

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

    def restore(self, revived: Revived) -> None:
        """Take up where an earlier life of the server left off."""
        self._waiting = {prompt.id: prompt for prompt in revived.queue}
        nodes = list(self.session.state.nodes.values())[-REMEMBERED_MESSAGES:]
        made = [(node.cmd_id, node.id) for node in nodes] + [(prompt.cmd_id, prompt.id) for prompt in revived.queue]
        for cmd_id, identity in made:
            if cmd_id is not None:  # whoever was not told that it was done asks again
                self.receipts.keep(Ack(cmd_id=cmd_id, id=identity))
        self._held = True  # what waits comes after what was begun
        for node in revived.cut:
            self._make_run(Prompt(node.parent_id or "", node.id, ""), node.model or "").end("interrupted")
        if revived.checkpoint is not None:
            self._resume(revived.checkpoint)
        self._held = False
        self._next()

    def pause(self) -> None:
        """The server is about to go down: start no other answer."""
        self._closed = True

    def close(self) -> None:
        """The server goes down: leave the answer for another life, if it can go on then; else end it."""
        self._closed = True
        self._cancel_detach()
        if self.run is None:
            return
        if self._answering.recorder.on and self._can_go_on(self.run):
            self.run.suspend()
        else:
            self.run.end("interrupted")

    def end(self) -> None:
        """The conversation is over: nothing runs and nothing waits in it any more."""
        self._closed = True
        self._cancel_detach()
        self._waiting.clear()
        if self.run is not None:
            self.run.end("cancelled")

    def _resume(self, checkpoint: Checkpoint) -> None:
        run = self.run = self._make_run(checkpoint.prompt, checkpoint.model, checkpoint)
        if checkpoint.done is not None:
            run.conclude()
        elif checkpoint.hopeless or not self._can_go_on(run):
            run.end("interrupted")
        else:
            run.resume(self._answering.events)
            self._began(run)

    def _can_go_on(self, run: Run) -> bool:
        """An answer without any text is simply asked for again."""
        return not run.text_came or self._answering.resumes(run.model)

    def _dump_queue(self) -> list[dict[str, Any]]:
        return [prompt.dump() for prompt in self._waiting.values()]

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise CommandRefused("overloaded", "The server is restarting. Send that again in a moment.", retry_after=1)

    def _is_free(self) -> bool:
        """Whether an answer can begin now: nothing runs, and nothing waits that comes first."""
        self._abandoned = False  # whoever asks is there
        self._next()
        return self.run is None

    def _begin(self, prompt: Prompt) -> int:
        run = self.run = self._make_run(prompt, self._answering.model(prompt.model))
        seq = run.start(self._parent_of(prompt), self._answering.events)
        self._began(run)
        return seq

    def _make_run(self, prompt: Prompt, model: str, checkpoint: Checkpoint | None = None) -> Run:
        answering = self._answering
        return Run(
            prompt,
            model,
            self.session,
            self._clock,
            answering.flush_s,
            answering.recorder,
            self._run_ended,
            checkpoint,
        )

    def _parent_of(self, prompt: Prompt) -> str | None:
        """What the prompt follows: the last message, or a certain one, unless that is gone by now."""
        state = self.session.state
        named = prompt.parent_id is None or prompt.parent_id in state.nodes
        return prompt.parent_id if named and not prompt.at_leaf else state.leaf()

    def _began(self, run: Run) -> None:
        self._answering.began(run)
        if not self.session.subscribers:
            self._expect_somebody()

    def _run_ended(self) -> None:
        self.run = None
        self._next()
        if not self.busy:
            self._cancel_detach()
        if self.run is None:
            self._answering.rest(self.session)

    def _next(self) -> None:
        if self.run is None and self._waiting and not (self._abandoned or self._closed or self._held):
            prompt = self._waiting.pop(next(iter(self._waiting)))
            self.session.settle(prompt.id)
            self._begin(prompt)
            self._show_positions()

    def _show_positions(self) -> None:
        for position, prompt in enumerate(self._waiting.values(), start=1):
            self.session.transient(ProgressMessage(id=prompt.id, phase="queued", position=position))

    def _expect_somebody(self) -> None:
        if self._detach is None and not self._closed:
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
