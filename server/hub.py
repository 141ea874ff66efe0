"""The hub: sessions, runs, and backends by name.

`Hub.generate` is the one place where a backend is chosen, work is counted and timed, and failures become errors with a
sentence for a person. A chat goes through a session (`ask`, `stop`), and its answer outlives any socket; stateless
calls iterate `generate` themselves, and their leaving cancels the work. Knows nothing of HTTP or of frames.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import ClassVar

import structlog

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Health,
    Overloaded,
)
from server.catalogue import Catalogue
from server.clock import Clock
from server.commands import CommandRefused
from server.connections import ConnectionManager
from server.context import turns
from server.meter import Meter
from server.models import Models
from server.options import HubOptions
from server.prompt import accept
from server.prompting import Question, prepare
from server.protocol import (
    Ack,
    ClientMessage,
    ModelsMessage,
    NoticeEvent,
    QueueRemoveCommand,
    StopCommand,
    UserCommand,
)
from server.run import BROKE_OFF, Run
from server.session import Session
from server.sessions import Sessions
from server.turns import Answering, Turns

START_GRACE_S = 0.3
CLOSE_GRACE_S = 5.0
RESTARTING = 1012
RETRY_AFTER_S = 1

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Accepted:
    """A prompt that was taken: its message's id, the id of the answer to it, and the `seq` of its first event."""

    id: str
    run: str
    seq: int


class InternalError(BackendError):
    """Something failed that nobody foresaw. The log has the traceback."""

    code: ClassVar[str] = "internal"


class Hub:
    """Everything between the routes and the backends."""

    def __init__(
        self, backends: Sequence[Backend], options: HubOptions | None = None, clock: Clock | None = None
    ) -> None:
        self.options = options or HubOptions()
        self.clock = clock or Clock()
        self.backends = tuple(backends)
        self.connections = ConnectionManager()
        self.sessions = Sessions(self.options.limits, self.options.window_s, self.clock, self._forgotten)
        self.active = 0  # requests that are being answered
        self._catalogue = Catalogue(self.backends, self.options.expected_models, self.options.max_tokens)
        self.meter = Meter(
            self.backends, self.clock, self.connections.broadcast, lambda: len(self.connections.active_connections)
        )
        self._models = Models(self._catalogue, self.clock, self.connections.broadcast, self.meter.changed)
        self._turns: dict[str, Turns] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()  # sessions with subscribers
        self._started = False
        self._closing = False
        self._overloaded_until = -math.inf
        self._answering = Answering(
            events=self._events,
            model=self._catalogue.full_name,
            began=self._began,
            rest=self._rest,
            flush_s=self.options.stream_flush_ms / 1000,
            detach_timeout_s=self.options.detach_timeout_s,
        )

    async def start(self) -> None:
        """Start the backends and ask for their models, behind everything else; quick ones have answered on return."""
        for backend in self.backends:
            try:
                await backend.start()
            except Exception:  # the others may still answer; the list will say why this one does not
                log.exception("a backend did not start", backend=backend.name)
        await self._models.start(START_GRACE_S)
        self._started = True

    async def close(self) -> None:
        """End every answer with what came of it, close every socket, and give the backends back."""
        self._closing = True
        for turns_ in tuple(self._turns.values()):
            turns_.close()
        if self._runs:
            await asyncio.wait(self._runs, timeout=CLOSE_GRACE_S)
        await self.connections.close_all(RESTARTING, f"retry_after={RETRY_AFTER_S}")
        self.sessions.close()
        self.meter.close()
        await self._models.close()
        for backend in self.backends:
            try:
                await backend.close()
            except Exception:
                log.exception("a backend did not end well", backend=backend.name)

    # Conversations

    def open(self, session_id: str | None = None) -> Session:
        """The session of that id; a new one, with an id of its own, when nobody knows it."""
        session = self.get(session_id) if session_id else None
        if session is None:
            session = self.sessions.create()
            session.watched = self._attend
        return session

    def get(self, session_id: str) -> Session | None:
        return self.sessions.get(session_id)

    def execute(self, session: Session, command: ClientMessage) -> Ack | None:
        """Do what a client asks, once: the same `cmd_id` again gets the same answer. Raises CommandRefused."""
        receipts = self._turns_of(session).receipts
        if (done := receipts.find(command.cmd_id)) is not None:
            return done
        identity, seq = self._do(session, command)
        if command.cmd_id is None:
            return None
        ack = Ack(cmd_id=command.cmd_id, id=identity, seq=seq)
        receipts.keep(ack)
        return ack

    def ask(self, session: Session, command: UserCommand) -> Accepted:
        """Say something: it is answered at once, or when the answers before it have ended. Raises CommandRefused."""
        if self._closing:
            raise CommandRefused("overloaded", "The server is restarting.", retry_after=RETRY_AFTER_S)
        prompt = accept(command, session.state, self.options.max_message_chars)
        return Accepted(prompt.id, prompt.run, self._turns_of(session).ask(prompt))

    def stop(self, session: Session, identity: str | None = None) -> None:
        """End the run or take back the waiting prompt of that id; without one, end the newest run.

        What has ended already stays as it is. Raises CommandRefused for an id that never was.
        """
        if not self._turns_of(session).stop(identity):
            raise CommandRefused("not_found", "There is no answer of that id.")

    # Models

    @property
    def current(self) -> str:
        """The full name of the model that answers when none is named; empty while there is none."""
        return self._catalogue.current

    def models(self) -> ModelsMessage:
        """The models of all backends as last heard. Never waits."""
        return self._catalogue.message()

    async def resolve(self, name: str) -> str:
        """The full name of the model that `name` means, empty for the current one. Raises BackendError."""
        backend, info = await self._models.resolve(name)
        return f"{backend.name}/{info.name}"

    async def load_model(self, name: str) -> str:
        """Make a model current, loading or fetching it first. Gives its full name. Raises BackendError."""
        return await self._models.load(name)

    async def health(self) -> Health:
        """Whether any backend can answer, as last heard."""
        health = self._catalogue.health()
        return replace(health, details={**health.details, "active": self.active, "sessions": len(self.sessions)})

    def ready(self) -> Health:
        """Whether to send new work here now, as last heard; if not, the reason."""
        if not self._started:
            return Health(False, "The server is starting.")
        if self._closing:
            return Health(False, "The server is shutting down.")
        if self.clock.now() < self._overloaded_until:
            return Health(False, "The server is overloaded.")
        return replace(self._catalogue.health(), details={})

    # Answers

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events up to a `Done`, from the backend that has the model. Closing it cancels the work.

        `request.model` is `backend/name`, a bare name, or empty for the current model. Raises BackendError.
        """
        began = time.monotonic()
        outcome = "cancelled"
        self.active += 1
        try:
            backend, info = await self._models.resolve(request.model)
            async with aclosing(backend.generate(replace(request, model=info.name))) as events:
                async for event in events:
                    outcome = event.finish_reason if isinstance(event, Done) else outcome
                    yield event
            if outcome == "cancelled":
                raise BackendFailed(BROKE_OFF)
        except BackendError as error:
            outcome = error.code
            if isinstance(error, BackendUnreachable):
                self._models.probe()
            if isinstance(error, Overloaded):
                self._overloaded_until = self.clock.now() + (error.retry_after or RETRY_AFTER_S)
            raise
        except Exception as error:
            outcome = "internal"
            log.exception("a backend failed", request=request.request_id)
            raise InternalError("Something went wrong in the server. Its log says what.") from error
        finally:
            self.active -= 1
            seconds = round(time.monotonic() - began, 3)
            log.info("answered", request=request.request_id, outcome=outcome, seconds=seconds)

    async def _events(self, run: Run) -> AsyncGenerator[Event, None]:
        """The events of a chat's answer: `generate`, over what the conversation has come to."""
        prompt, state = run.prompt, run.session.state
        backend, info = await self._models.resolve(prompt.model or "")
        path = state.path(state.nodes[prompt.id].parent_id)
        question = Question(run.id, turns(path), prompt.message, prompt.params, prompt.think, run.session.id)
        prepared = await prepare(question, backend, info, self.options)
        run.prepared(prepared.request.model, prepared.params, prepared.prompt_tokens)
        if path and path[-1].model not in (None, run.model):
            run.session.publish(NoticeEvent(message=f"From here on {run.model} answers."))
        if dropped := [identity for identity in prepared.dropped if identity not in state.dropped]:
            text = "This conversation is longer than the model can read. Its oldest turns are left out."
            run.session.publish(NoticeEvent(message=text, dropped=dropped))
        async with aclosing(self.generate(prepared.request)) as events:
            async for event in events:
                yield event

    # Bookkeeping

    def _do(self, session: Session, command: ClientMessage) -> tuple[str | None, int | None]:
        """Do a command. Gives the id that it was about or made, and the `seq` it led to."""
        match command:
            case UserCommand():
                accepted = self.ask(session, command)
                return accepted.id, accepted.seq
            case StopCommand():
                self.stop(session, command.id)
                return command.id, None
            case QueueRemoveCommand():
                if not self._turns_of(session).remove(command.id):
                    raise CommandRefused("not_found", "No message of that id is waiting.")
                return command.id, None
            case _:
                raise CommandRefused("unsupported", "This version of the server cannot do that yet.")

    def _turns_of(self, session: Session) -> Turns:
        if session.id not in self._turns:
            self._turns[session.id] = Turns(session, self._answering, self.clock)
        return self._turns[session.id]

    def _began(self, run: Run) -> None:
        assert run.task is not None
        self.sessions.use(run.session)
        self._runs.add(run.task)
        run.task.add_done_callback(self._runs.discard)

    def _attend(self, session: Session) -> None:
        """The first subscriber of `session` has come, or the last one has gone."""
        (self._watched.add if session.subscribers else self._watched.discard)(session.id)
        self._models.watch(bool(self._watched))
        if session.subscribers:
            self.sessions.use(session)
        if session.id in self._turns:
            self._turns[session.id].attend()
        self._rest(session)

    def _rest(self, session: Session) -> None:
        """Let `session` be forgotten in time, unless somebody watches it or an answer runs."""
        turns_ = self._turns.get(session.id)
        if not session.subscribers and (turns_ is None or turns_.run is None):
            self.sessions.rest(session)

    def _forgotten(self, session: Session) -> None:
        self._turns.pop(session.id, None)
