"""The hub: sessions and what goes on in them, and the backends by name.

A chat goes through a session (`open`, `execute`), and its answer outlives any socket and the server itself; stateless
calls iterate `generate` themselves, and their leaving cancels the work. Knows nothing of HTTP or of frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

import structlog

from backends.base import Backend, Event, GenerationRequest, Health, Loading, ModelInfo, Overloaded, TokenCount
from server.answers import Answers
from server.archive import Archive
from server.catalogue import Catalogue
from server.clock import Clock
from server.connections import ConnectionManager
from server.conversations import Conversations
from server.dispatcher import Accepted, Dispatcher
from server.history.records import LOCAL
from server.history.store import History
from server.keeper import Keeper
from server.measures.answers import AnswerMeasures
from server.meter import Meter
from server.models import Models
from server.names import ids_of
from server.options import HubOptions
from server.protocol import Ack, ClientMessage, CloseCode, ModelsMessage, SystemMessage, UserCommand
from server.recorder import Recorder
from server.residence import Residence
from server.run import Run
from server.running import RunningRequests
from server.session import Session
from server.sessions import Sessions
from server.thinking import chosen, toggled
from server.turns import Answering, Turns

START_GRACE_S = 0.3
CLOSE_GRACE_S = 5.0
RESTARTING = 1012
RETRY_AFTER_S = 1

log = structlog.get_logger()


class Hub:
    """Everything between the routes and the backends."""

    def __init__(
        self,
        backends: Sequence[Backend],
        options: HubOptions | None = None,
        clock: Clock | None = None,
        open_history: Callable[[], Awaitable[History]] | None = None,
    ) -> None:
        """`open_history`: opens what keeps the conversations; without it they are forgotten when nobody uses them."""
        self.options = options or HubOptions()
        self.clock = clock or Clock()
        self.backends = tuple(backends)
        self.connections = ConnectionManager()
        self.running = RunningRequests()
        self.draining = False
        self._keeper = Keeper(open_history, self.clock)
        self.recorder = Recorder(
            self._keeper if self._keeper.enabled else None,
            self.clock,
            self.options.flush_interval_ms / 1000,
            self._history_is,
        )
        self.sessions = Sessions(
            self.options.limits, self.options.window_s, self.clock, self._forgotten, self.recorder.has_all
        )
        self.conversations = Conversations(
            self._keeper,
            self.sessions,
            self.recorder,
            self.clock,
            self.connections.show_line,
            running=lambda session_id: session_id in self._turns and self._turns[session_id].run is not None,
            drop=self._drop,
        )
        self._archive = Archive(self._keeper, self.sessions, self.recorder, self._adopt, self._turns_of)
        self._catalogue = Catalogue(self.backends, self.options.expected_models, self.options.max_tokens)
        self.meter = Meter(
            self.backends, self.clock, self.connections.broadcast, lambda: len(self.connections.active_connections)
        )
        self._models = Models(self._catalogue, self.clock, self.connections.broadcast, self.meter.changed)
        self.residence = Residence(self.unload_model, self.clock)
        self.answer_measures = AnswerMeasures(self.clock)
        self.snapshots = 0  # conversations that were sent whole, to readers who were new or had missed too much
        self._answers = Answers(self._models, self.options, self.clock, self.answer_measures)
        self._turns: dict[str, Turns] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()  # sessions with subscribers
        self._began_at = self.clock.now()
        self._started = False
        self._answering = Answering(
            events=self._answers.events,
            model=self._catalogue.full_name,
            resumes=self._resumes,
            recorder=self.recorder,
            began=self._began,
            rest=self._rest,
            flush_s=self.options.stream_flush_ms / 1000,
            detach_timeout_s=self.options.detach_timeout_s,
        )

    # Its own life

    async def start(self) -> None:
        """Start the backends and ask for their models, behind everything else; quick ones have answered on return.

        Then go on with the answers that an earlier life of the server did not finish.
        """
        for backend in self.backends:
            try:
                await backend.start()
            except Exception:  # the others may still answer; the list will say why this one does not
                log.exception("a backend did not start", backend=backend.name)
        await self._models.start(START_GRACE_S)
        await self._archive.open()
        self._started = True

    async def drain(self) -> None:
        """The server is to stop: say so, give running answers time to end, and put down where the others are.

        Then close every socket. Until that is done, whoever asks for something new is sent away to come back.
        """
        self.draining = True
        self.connections.broadcast(SystemMessage(message="The server is restarting.", state="draining"))
        for turns in tuple(self._turns.values()):
            turns.pause()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.options.drain_timeout_s):
                if self._runs:
                    await asyncio.wait(self._runs)
                await self._answers.wait_until_idle()
        await self._put_down()

    async def close(self) -> None:
        """Put down every answer where it is, close every socket, and give the backends back."""
        await self._put_down()
        self.sessions.close()
        self.meter.close()
        await self.residence.close()
        await self._models.close()
        for backend in self.backends:
            try:
                await backend.close()
            except Exception:
                log.exception("a backend did not end well", backend=backend.name)
        await self._archive.close()

    async def _put_down(self) -> None:
        self.draining = True
        for turns in tuple(self._turns.values()):
            turns.close()
        if self._runs:
            await asyncio.wait(self._runs, timeout=CLOSE_GRACE_S)
        await self.recorder.close()
        await self.connections.close_all(RESTARTING, f"retry_after={RETRY_AFTER_S}")

    # Conversations

    async def open(self, session_id: str | None = None, owner: str = LOCAL) -> Session:
        """The conversation of that id; a new one, with an id of its own, when there is none. Raises HistoryError."""
        session = await self.get(session_id, owner) if session_id else None
        return session or self.create(owner)

    async def open_named(self, name: str, owner: str = LOCAL) -> Session:
        """The conversation that goes by a name of its owner's, made when it is first asked for. Raises HistoryError."""
        identities = ids_of(name, owner)
        for identity in identities:
            if (session := await self.get(identity, owner)) is not None:
                return session
        hidden = await (await self._keeper.history()).hidden(owner, identities) if self._keeper.enabled else set()
        free = next((each for each in identities if each not in hidden), identities[-1])
        return self.sessions.get(free) or self._adopt(self.sessions.create(owner, free))

    def create(self, owner: str = LOCAL) -> Session:
        """A new conversation. Nothing of it is kept until something is said."""
        return self._adopt(self.sessions.create(owner))

    async def get(self, session_id: str, owner: str = LOCAL) -> Session | None:
        """The conversation of that id, from memory or out of the history. Raises HistoryError."""
        return await self._archive.get(session_id, owner)

    def execute(self, session: Session, command: ClientMessage) -> Ack | None:
        """Do what a client asks, once: the same `cmd_id` again gets the same answer. Raises CommandRefused."""
        return self._dispatcher(session).execute(command)

    def was_done(self, session: Session, command: ClientMessage) -> bool:
        """Whether a client sends again what was done before: nothing more comes of it."""
        return self._dispatcher(session).was_done(command)

    def ask(self, session: Session, command: UserCommand) -> Accepted:
        """Say something: it is answered at once, or when the answers before it have ended. Raises CommandRefused."""
        return self._dispatcher(session).ask(command)

    def stop(self, session: Session, identity: str | None = None) -> None:
        """End the run or take back the waiting prompt of that id; without one, end the newest run.

        What has ended already stays as it is. Raises CommandRefused for an id that never was.
        """
        self._dispatcher(session).stop(identity)

    def toggle_thinking(self, session: Session, enabled: bool | None = None) -> bool:
        """Turn thinking on or off, or to the other, for the answers that begin in `session` from now on."""
        session.about = toggled(session.about, enabled)
        if session.head:  # or there is nothing yet to be kept
            self.recorder.changed(session, at_once=True)
        return bool(chosen(session.about))

    async def saved(self, session: Session) -> bool:
        """Wait, a second at most, until what `session` is now survives the server. False when it does not."""
        return await self.recorder.saved(session)

    # Models and answers

    @property
    def uptime(self) -> float:
        """Seconds since the hub was made."""
        return self.clock.now() - self._began_at

    @property
    def active(self) -> int:
        """Requests that are being answered."""
        return self._answers.active

    @property
    def current(self) -> str:
        """The full name of the model that answers when none is named; empty while there is none."""
        return self._catalogue.current

    def models(self) -> ModelsMessage:
        """The models of all backends as last heard. Never waits."""
        return self._catalogue.message()

    def model_info(self, name: str) -> ModelInfo | None:
        """What the backend that has the model of that name last told of it. Never waits."""
        found = self._catalogue.find(name)
        return found[1] if found else None

    async def resolve(self, name: str) -> str:
        """The full name of the model that `name` means, empty for the current one. Raises BackendError."""
        backend, info = await self._models.resolve(name)
        return f"{backend.name}/{info.name}"

    async def load_model(self, name: str) -> str:
        """Make a model current, loading or fetching it first. Gives its full name. Raises BackendError."""
        return await self._models.load(name)

    def make_ready(self, name: str) -> AsyncGenerator[Loading, None]:
        """Load a model, fetching it first if need be, while the current one stays current. Raises BackendError.

        Yields how far it is, under the model's full name. Closing it gives the work up.
        """
        return self._models.make_ready(name)

    async def unload_model(self, name: str) -> None:
        """Give back the memory that a model takes; the next question loads it again. Raises BackendError."""
        await self._models.unload(name)

    async def count_tokens(self, request: GenerationRequest) -> TokenCount:
        """How many tokens the prompt of a request takes, by the model that it names. Raises BackendError."""
        backend, info = await self._models.resolve(request.model)
        return await backend.count_tokens(replace(request, model=info.name))

    def health(self) -> Health:
        """Whether any backend can answer, as last heard; `details` has each one's own state."""
        return self._catalogue.health()

    def ready(self) -> Health:
        """Whether to send new work here now, as last heard; if not, the reason."""
        if not self._started:
            return Health(False, "The server is starting.")
        if self.draining:
            return Health(False, "The server is shutting down.")
        if self._answers.overloaded:
            return Health(False, "The server is overloaded.")
        return self._catalogue.ready()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events up to a `Done`, from the backend that has the model. Closing it cancels the work.

        `request.model` is `backend/name`, a bare name, or empty for the current model. Raises BackendError.
        """
        if self.draining:
            raise Overloaded("The server is restarting. Ask again in a moment.", retry_after=RETRY_AFTER_S)
        async with aclosing(self._answers.generate(request, self.options.request_timeout_s)) as events:
            async for event in events:
                yield event

    def news(self) -> list[SystemMessage]:
        """What everybody was told and still holds: who comes now has to know it too."""
        return [_history_message(self.recorder.problem)] if self.recorder.problem else []

    # Bookkeeping

    def _dispatcher(self, session: Session) -> Dispatcher:
        return Dispatcher(session, self._turns_of(session), self.clock, self.options.max_message_chars)

    def _adopt(self, session: Session) -> Session:
        session.watched = self._attend
        session.snapshot_sent = self._count_snapshot
        session.published = self.conversations.published
        return session

    def _resumes(self, model: str) -> bool:
        name = model.partition("/")[0]
        return any(backend.resumes for backend in self.backends if backend.name == name)

    def _turns_of(self, session: Session) -> Turns:
        if session.id not in self._turns:
            turns = self._turns[session.id] = Turns(session, self._answering, self.clock)
            if self.draining:
                turns.pause()
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

    def _count_snapshot(self) -> None:
        self.snapshots += 1

    def _drop(self, session: Session) -> None:
        """`session` is deleted: end what goes on in it, and send away those who watch."""
        if session.id in self._turns:
            self._turns[session.id].end()
        self.connections.close_session(session, CloseCode.GONE)

    def _forgotten(self, session: Session) -> None:
        self._turns.pop(session.id, None)
        session.waiting = tuple  # or it and its turns would hold each other in memory
        self.recorder.forget(session.id)

    def _history_is(self, problem: str | None) -> None:
        self.connections.broadcast(_history_message(problem))


def _history_message(problem: str | None) -> SystemMessage:
    if problem is None:
        return SystemMessage(message="Conversations are being saved again.", state="history_on")
    return SystemMessage(message=f"Conversations are not being saved. {problem}", state="history_off")
