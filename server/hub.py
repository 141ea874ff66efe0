"""The hub: sessions, runs, and backends by name.

`Hub.generate` is the one place where a backend is chosen, work is counted and timed, and failures become errors with a
sentence for a person. A chat goes through a session (`ask`, `stop`), which the answer outlives any socket in; stateless
calls iterate `generate` themselves, and their leaving cancels the work. Knows nothing of HTTP or sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import ClassVar

import structlog
import uuid_utils

from backends.base import (
    Backend,
    BackendError,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Health,
    Message,
    Params,
    TokenCount,
)
from server.clock import Clock
from server.commands import CommandRefused
from server.connections import ConnectionManager
from server.context import fit, turns
from server.models import Models
from server.protocol import (
    Ack,
    ChatParams,
    ClientMessage,
    ModelsMessage,
    NoticeEvent,
    QueueRemoveCommand,
    StopCommand,
    UserCommand,
)
from server.run import Prompt, Run
from server.session import Limits, Session
from server.sessions import Sessions
from server.turns import Answering, Turns

START_GRACE_S = 0.3
CLOSE_GRACE_S = 5.0

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class HubOptions:
    """The settings the hub goes by, named as in `.env`. `expected_models`: the model that a backend should have."""

    max_tokens: int = 200
    system_prompt: str = ""
    stream_flush_ms: int = 40
    detach_timeout_s: float = 600
    window_events: int = 10_000
    window_bytes: int = 4 * 1024 * 1024
    window_s: float = 300
    subscriber_bytes: int = 256 * 1024
    max_message_chars: int = 32_000
    expected_models: Mapping[str, str] = field(default_factory=dict)


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
        self.active = 0  # requests that are being answered
        limits = Limits(self.options.window_events, self.options.window_bytes, self.options.subscriber_bytes)
        self.sessions = Sessions(limits, self.options.window_s, self.clock, self._forgotten)
        self._catalogue = Models(backends, self.clock, self.connections.broadcast, self.options.expected_models)
        self._turns: dict[str, Turns] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()
        self._answering = Answering(
            events=self._events,
            model=self._catalogue.full_name,
            began=self._run_began,
            idle=self._rest,
            flush_s=self.options.stream_flush_ms / 1000,
            detach_timeout_s=self.options.detach_timeout_s,
        )

    async def start(self) -> None:
        """Start the backends and ask for their models, behind everything else; fast ones have answered on return."""
        for backend in self.backends:
            await backend.start()
        await self._catalogue.start(START_GRACE_S)

    async def close(self) -> None:
        """End every answer with what came of it, close every socket, and give the backends back."""
        for turns_ in tuple(self._turns.values()):
            turns_.close()
        if self._runs:
            await asyncio.wait(self._runs, timeout=CLOSE_GRACE_S)
        await self.connections.close_all(1012)
        self.sessions.close()
        await self._catalogue.close()
        for backend in self.backends:
            await backend.close()

    # Sessions

    def open(self, session_id: str | None = None) -> Session:
        """The session of that id; a new one, with an id of its own, when nobody knows it."""
        session = self.get(session_id) if session_id else None
        if session is None:
            session = self.sessions.create()
            session.watched = lambda: self._attend(session)
        return session

    def get(self, session_id: str) -> Session | None:
        return self.sessions.get(session_id)

    def execute(self, session: Session, command: ClientMessage) -> Ack | None:
        """Do what a client asks, once: the same `cmd_id` again gets the same answer. Raises CommandRefused."""
        receipts = self._turns_of(session).receipts
        if (done := receipts.find(command.cmd_id)) is not None:
            return done
        message_id, seq = self._do(session, command)
        if command.cmd_id is None:
            return None
        ack = Ack(cmd_id=command.cmd_id, id=message_id, seq=seq)
        receipts.keep(ack)
        return ack

    def ask(self, session: Session, command: UserCommand) -> Accepted:
        """Say something: it is answered at once, or when the answers before it have ended. Raises CommandRefused."""
        if not command.message.strip():
            raise CommandRefused("bad_message", "message: There is nothing in it.")
        most = self.options.max_message_chars
        if len(command.message) > most:
            raise CommandRefused("message_too_long", f"The message has more than {most} characters.")
        parent = session.state.nodes.get(command.parent_id) if command.parent_id else None
        if command.parent_id and (parent is None or parent.role != "ai"):
            raise CommandRefused("not_found", "There is no answer of that id to follow.")
        prompt = Prompt(
            id=str(uuid_utils.uuid7()),
            run=str(uuid_utils.uuid7()),
            message=command.message,
            cmd_id=command.cmd_id,
            parent_id=command.parent_id,
            model=command.model,
            params=command.params,
            think=command.think,
        )
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

    async def load_model(self, name: str) -> str:
        """Make a model current, loading or fetching it first. Gives its full name. Raises BackendError."""
        return await self._catalogue.load(name)

    async def health(self) -> Health:
        """Whether any backend can answer, as last heard."""
        health = self._catalogue.health()
        return replace(health, details={**health.details, "active": self.active, "sessions": len(self.sessions)})

    # Answers

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events, from the backend that has the model. Closing the generator cancels the work.

        `request.model` is `backend/name`, a bare name, or empty for the current model. Raises BackendError.
        """
        began = time.monotonic()
        outcome = "cancelled"
        self.active += 1
        try:
            backend, info = await self._catalogue.resolve(request.model)
            async with aclosing(backend.generate(replace(request, model=info.name))) as events:
                async for event in events:
                    outcome = event.finish_reason if isinstance(event, Done) else outcome
                    yield event
        except BackendError as error:
            outcome = error.code
            if isinstance(error, BackendUnreachable):
                self._catalogue.probe()
            raise
        except Exception as error:
            outcome = "internal"
            log.exception("a backend failed", request=request.request_id)
            raise InternalError("Something went wrong in the server. Its log says what.") from error
        finally:
            self.active -= 1
            log.info(
                "answered", request=request.request_id, outcome=outcome, seconds=round(time.monotonic() - began, 3)
            )

    async def _events(self, run: Run) -> AsyncGenerator[Event, None]:
        """The events of a chat's answer: `generate` over what the conversation has come to."""
        request = await self._request(run)
        async with aclosing(self.generate(request)) as events:
            async for event in events:
                yield event

    async def _request(self, run: Run) -> GenerationRequest:
        prompt, state = run.prompt, run.session.state
        backend, info = await self._catalogue.resolve(prompt.model or "")
        params = _params(prompt.params, self.options.max_tokens)
        system = self.options.system_prompt
        if prompt.params is not None and prompt.params.system is not None:
            system = prompt.params.system
        request = GenerationRequest(
            request_id=run.id,
            model=f"{backend.name}/{info.name}",
            params=params,
            think=prompt.think,
            fairness_key=run.session.id,
        )

        async def count(messages: tuple[Message, ...]) -> TokenCount:
            return await backend.count_tokens(replace(request, model=info.name, messages=messages))

        question = state.nodes[prompt.id]
        room = None
        if info.context_length is not None:
            room = info.context_length - min(params.max_tokens or 0, info.context_length // 2)
        context = await fit(system, turns(state.path(question.parent_id)), prompt.message, room, count)
        run.params = _chat_params(params, prompt.params)
        run.prompt_tokens = context.count.n if context.count else 0
        if context.dropped:
            run.session.publish(
                NoticeEvent(
                    message="The conversation is longer than this model can read: its oldest turns are left out.",
                    dropped=list(context.dropped),
                )
            )
        return replace(request, messages=context.messages)

    # Bookkeeping

    def _do(self, session: Session, command: ClientMessage) -> tuple[str | None, int | None]:
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

    def _run_began(self, run: Run) -> None:
        assert run.task is not None
        self.sessions.use(run.session)
        self._runs.add(run.task)
        run.task.add_done_callback(self._runs.discard)

    def _attend(self, session: Session) -> None:
        """The first subscriber of `session` has come, or the last one has gone."""
        if session.subscribers:
            self.sessions.use(session)
            self._watched.add(session.id)
        else:
            self._watched.discard(session.id)
        self._catalogue.watch(bool(self._watched))
        if session.id in self._turns:
            self._turns[session.id].attend()
        self._rest(session)

    def _rest(self, session: Session) -> None:
        turns_ = self._turns.get(session.id)
        if not session.subscribers and (turns_ is None or turns_.run is None):
            self.sessions.rest(session)

    def _forgotten(self, session: Session) -> None:
        self._turns.pop(session.id, None)


def _params(asked: ChatParams | None, max_tokens: int) -> Params:
    """The chat's defaults, and in their place what was asked for."""
    given = asked.model_dump(exclude_none=True, exclude={"system"}) if asked is not None else {}
    if "stop" in given:
        given["stop"] = tuple(given["stop"])
    return Params(**{"max_tokens": max_tokens, **given})


def _chat_params(params: Params, asked: ChatParams | None) -> ChatParams:
    """The parameters that were used, for the record."""
    return ChatParams(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        max_tokens=params.max_tokens,
        stop=list(params.stop) or None,
        seed=params.seed,
        system=asked.system if asked is not None else None,
        diffusion=params.diffusion,
    )
