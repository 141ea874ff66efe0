"""Whatever people, lines, models and servers do, in whatever order: every client ends up with what is stored.

Two conversations at the most, each with its tree, its queue and a handful of tabs. The server is closed or dies, and
comes back on the same history; after each return it must find what it was, and nothing that anybody was promised to be
stored may be missing. At the end everybody comes home, and the tabs, the server and the history agree.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter

from backends.base import BackendFailed
from server.commands import CommandRefused
from server.fold import Conversation
from server.history.records import LOCAL
from server.history.store import History
from server.options import HubOptions
from server.protocol import ClientMessage
from server.revival import revive
from server.session import BadResume, Session
from server.subscriber import TooSlow
from tests.faults.backends import Recital, prompt_of, recital, text_of
from tests.faults.chronicle import Chronicle, ChronicledHub
from tests.faults.whole_server import LAST_S, history_in
from tests.server.doubles import ManualClock, Reader, turn_over

T = TypeVar("T")
COMMAND: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)
OPTIONS = HubOptions(
    window_events=25,
    window_bytes=8_000,
    subscriber_bytes=4_000,
    detach_timeout_s=50,
    window_s=100,
    stream_flush_ms=40,
    system_prompt="",
)
TOKENS = 40
MEMORY = Path("/dev/shm")  # a folder that waits for no disk, where there is one
DEEP = "SWITCHBOARD_DEEP" in os.environ  # minutes, for somebody who looks for trouble
PICK = st.integers(0, 10**6)
IN_TREE = ["regenerate", "continue", "select", "remove"]
IN_QUEUE: list[dict[str, object]] = [
    {"type": "queue_remove"},
    {"type": "queue_edit", "message": "later"},
    {"type": "queue_move", "position": 0},
]
WORDS = st.sampled_from(["Go", "Go on", "😀", "日本\n", "x" * 30])


class Tab(Reader):
    """A client that may stop reading, lose its line, or be sent away, and that comes back with whatever claim."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.subscribe())
        self.connected = True

    def come_back(self, session: Session, claim: str) -> None:
        """Connect anew, and say that this is what it has."""
        after, epoch = self.state.seq, self.epoch
        match claim:
            case "another epoch":
                epoch = "feedbeeffeedbeef"
            case "nothing":
                after, self.state = 0, Conversation()
            case "too much":
                after += 1000
        try:
            self.subscriber = session.subscribe(after, epoch)
        except BadResume:
            self.subscriber = session.subscribe()
        if not self.subscriber.recovered:
            self.state = Conversation()
        self.epoch = session.epoch
        self.connected = True


class HubMachine(RuleBasedStateMachine):
    """A server that lives more than once, and everybody around it."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folders = TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.lives = 0
        self.alive = False
        self.clock = ManualClock()
        self.chronicle = Chronicle()
        self.ids: list[str] = []
        self.tabs: list[Tab] = []
        self.commands = 0
        self.asked: dict[str, str] = {}  # what each answer was asked
        self.strange: set[str] = set()  # answers that go on from a text that somebody else wrote
        self.live()
        self.open()

    # The server

    @property
    def folder(self) -> Path:
        """Where this life's history is."""
        return Path(self.folders.name) / str(self.lives)

    def live(self) -> None:
        """Begin a life on the history of `folder`."""
        self.folder.mkdir(exist_ok=True)
        self.recital = Recital(TOKENS)
        self.recital.pace.hold()
        url = history_in(self.folder)
        self.hub = ChronicledHub([self.recital], OPTIONS, self.clock, lambda: History.open(url, self.folder))
        self.hub.chronicle = self.chronicle
        self.run(self.hub.start())
        self.run(self.hub.conversations.list())  # or the history may still be in the making: nobody could copy it
        self.alive = True

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, LAST_S))

    def act(self) -> None:
        """Let everything that was set off run its course."""
        self.run(turn_over())
        self.clock.advance(0.001)
        self.run(turn_over())

    def session(self, session_id: str) -> Session | None:
        return self.run(self.hub.get(session_id))

    def picked(self, pick: int) -> Session:
        self.forget_what_is_gone()
        session = self.session(self.ids[pick % len(self.ids)])
        assert session is not None
        return session

    def picked_tab(self, pick: int) -> Tab:
        self.forget_what_is_gone()
        return self.tabs[pick % len(self.tabs)]

    def forget_what_is_gone(self) -> None:
        """A conversation in which nothing was ever said is not kept for ever, nor over a restart."""
        for session_id in tuple(self.ids):
            if self.session(session_id) is None:
                assert not self.chronicle.kept(session_id), "a conversation is lost"
                self.ids.remove(session_id)
                self.tabs = [tab for tab in self.tabs if tab.session != session_id]
        if not self.ids:
            self.open()

    def note_requests(self) -> None:
        """An answer is always asked for with the same words, however often it is begun."""
        for request in self.recital.requests:
            prompt = prompt_of(request)
            assert self.asked.setdefault(request.request_id, prompt) == prompt
            if not text_of(recital(prompt, TOKENS)).startswith(request.resume_text):
                self.strange.add(request.request_id)
        self.recital.requests.clear()

    @rule()
    def close_and_begin_anew(self) -> None:
        """The server is told to stop, and started again."""
        self.alive = False
        self.run(self.hub.close())
        sessions = {session.id: session.head for session in self.hub.sessions}
        self.note_requests()
        for session_id, head in sessions.items():
            self.chronicle.promise(session_id, head)
        self.take_up()

    @rule()
    def die_and_begin_anew(self) -> None:
        """The server is killed: what its history has at this moment is all that is left of it."""
        self.alive = False
        former, stored = self.hub, self.folder / "history.db"
        self.lives += 1
        self.folder.mkdir()
        with sqlite3.connect(stored) as source, sqlite3.connect(self.folder / "history.db") as copy:
            source.backup(copy)
        source.close()
        copy.close()
        chronicle, former.chronicle = self.chronicle, Chronicle()  # what it does from now on never was
        self.run(former.close())
        self.note_requests()
        self.chronicle = chronicle
        self.take_up()

    def take_up(self) -> None:
        """Look at what is in the history, and begin another life on it."""
        for tab in self.tabs:
            tab.connected = False
        stored = self.run(self.read_history())
        for session_id, found in stored.items():
            self.chronicle.check(session_id, found)
        known = {identity for found in stored.values() for identity in found.nodes}
        self.asked = {identity: prompt for identity, prompt in self.asked.items() if identity in known}
        self.live()

    async def read_history(self) -> dict[str, Conversation]:
        history = await History.open(history_in(self.folder), self.folder)
        try:
            stored = {session_id: await history.load(LOCAL, session_id) for session_id in self.ids}
        finally:
            await history.close()
        return {session_id: revive(found).state if found else Conversation() for session_id, found in stored.items()}

    # What people do

    @precondition(lambda self: len(self.ids) < 2)
    @rule()
    def open(self) -> None:
        session = self.hub.create()
        self.ids.append(session.id)
        self.tabs.append(self.loop.run_until_complete(_tab(session)))

    @precondition(lambda self: len(self.tabs) < 5)
    @rule(pick=PICK)
    def connect(self, pick: int) -> None:
        self.tabs.append(self.loop.run_until_complete(_tab(self.picked(pick))))

    def do(self, session: Session, acked: bool, **command: object) -> None:
        """Send a command, and wait for its ack if `acked`. It may be refused; then nothing comes of it."""
        self.commands += 1
        parsed = COMMAND.validate_python({**command, "cmd_id": str(self.commands)})

        async def execute_twice() -> int:
            ack = self.hub.execute(session, parsed)
            assert ack is not None
            head = session.head
            assert self.hub.execute(session, parsed) == ack.model_copy(update={"duplicate": True})
            assert session.head == head, "a command that is repeated must change nothing"
            return head

        try:
            head = self.run(execute_twice())
        except CommandRefused:
            made = [*session.state.nodes.values(), *session.state.queue.values()]
            assert str(self.commands) not in [each.cmd_id for each in made]
            self.act()
            return
        if acked and self.run(self.hub.saved(session)):
            self.chronicle.promise(session.id, head)
        self.act()

    @rule(pick=PICK, message=WORDS, acked=st.booleans(), limit=st.sampled_from([None, 3, 15]))
    def prompt(self, pick: int, message: str, acked: bool, limit: int | None) -> None:
        session = self.picked(pick)
        if len(session.state.nodes) < 30:
            params = {"params": {"max_tokens": limit}} if limit else {}
            self.do(session, acked, type="user", message=message, **params)

    @rule(
        pick=PICK, node=PICK, kind=st.sampled_from(["regenerate", "continue", "select", "remove"]), acked=st.booleans()
    )
    def in_tree(self, pick: int, node: int, kind: str, acked: bool) -> None:
        session = self.picked(pick)
        if session.state.nodes:
            self.do(session, acked, type=kind, id=list(session.state.nodes)[node % len(session.state.nodes)])

    @rule(pick=PICK, node=PICK, message=WORDS, acked=st.booleans())
    def edit(self, pick: int, node: int, message: str, acked: bool) -> None:
        session = self.picked(pick)
        if session.state.nodes:
            identity = list(session.state.nodes)[node % len(session.state.nodes)]
            self.do(session, acked, type="edit", id=identity, message=message)

    @rule(
        pick=PICK,
        waiting=PICK,
        command=st.sampled_from(
            [
                {"type": "queue_remove"},
                {"type": "queue_edit", "message": "later"},
                {"type": "queue_move", "position": 0},
            ]
        ),
        acked=st.booleans(),
    )
    def in_queue(self, pick: int, waiting: int, command: dict[str, object], acked: bool) -> None:
        session = self.picked(pick)
        if session.state.queue:
            self.do(session, acked, **command, id=list(session.state.queue)[waiting % len(session.state.queue)])

    @rule(pick=PICK, acked=st.booleans())
    def stop(self, pick: int, acked: bool) -> None:
        self.do(self.picked(pick), acked, type="stop")

    # What the model does, and time

    @rule(tokens=st.integers(1, 30))
    def speak(self, tokens: int) -> None:
        self.recital.pace.allow(tokens)
        self.act()

    @rule()
    def fail(self) -> None:
        """The backend is killed, and comes back."""
        self.recital.failure = BackendFailed("It broke.")
        self.recital.pace.allow(2)
        self.act()
        self.recital.failure = None
        self.recital.pace.hold()

    @rule(seconds=st.sampled_from([0.05, 0.3, 3.0, 60.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        async def advance() -> None:
            self.clock.advance(seconds)

        self.run(advance())
        self.act()

    # What becomes of the tabs

    @rule(pick=PICK, frames=st.integers(1, 6))
    def dawdle(self, pick: int, frames: int) -> None:
        self.read(self.picked_tab(pick), frames)

    @rule(pick=PICK)
    def catch_up(self, pick: int) -> None:
        self.read(self.picked_tab(pick))

    @rule(pick=PICK)
    def cut(self, pick: int) -> None:
        tab = self.picked_tab(pick)
        tab.connected = False
        tab.subscriber.close()
        self.act()

    @rule(pick=PICK, claim=st.sampled_from(["the truth", "the truth", "another epoch", "nothing", "too much"]))
    def come_back(self, pick: int, claim: str) -> None:
        tab = self.picked_tab(pick)
        if not tab.connected:
            self.resume(tab, claim)

    def resume(self, tab: Tab, claim: str = "the truth") -> None:
        session = self.session(tab.session)
        assert session is not None

        async def subscribe() -> None:
            tab.come_back(session, claim)

        self.run(subscribe())
        self.act()
        self.read(tab)

    def read(self, tab: Tab, frames: int = 10_000) -> None:
        async def read() -> None:
            for _ in range(frames):
                if not await tab.step():
                    return

        if tab.connected:
            try:
                self.run(read())
            except TooSlow:
                tab.connected = False

    # What always holds

    @invariant()
    def every_tab_has_what_the_server_had_at_that_place(self) -> None:
        for tab in getattr(self, "tabs", []):
            session = self.hub.sessions.get(tab.session)
            if not tab.connected or session is None or tab.epoch != session.epoch:
                continue
            assert tab.state.seq <= session.head
            if tab.state.seq == session.head:
                assert tab.state.snapshot("", "") == session.state.snapshot("", "")

    @invariant()
    def nothing_goes_wrong_that_nobody_foresaw(self) -> None:
        for session in self.hub.sessions if hasattr(self, "hub") else ():
            codes = [node.error.code for node in session.state.nodes.values() if node.error is not None]
            assert set(codes) <= {"backend_error"}
            assert sum(node.running for node in session.state.nodes.values()) <= 1

    # The end

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                if self.alive:  # or a check has failed between two lives
                    self.everybody_comes_home()
            finally:
                with suppress(Exception):
                    self.run(self.hub.close())
                self.loop.close()
                self.folders.cleanup()

    def everybody_comes_home(self) -> None:
        """Let every answer end, and compare."""
        self.forget_what_is_gone()
        for session_id in self.ids:
            self.tabs.append(self.loop.run_until_complete(_tab(self.picked(self.ids.index(session_id)))))
        self.recital.pace.free()
        sessions = [self.picked(number) for number in range(len(self.ids))]
        self.run(self.until_idle(sessions))
        self.run(self.hub.recorder.flush())
        self.note_requests()
        for tab in self.tabs:
            self.read(tab)
            if not tab.connected:
                self.resume(tab)
        for tab in self.tabs:
            session = self.hub.sessions.get(tab.session)
            assert session is not None
            assert tab.state.snapshot("", "") == session.state.snapshot("", ""), "a tab ends up elsewhere"
        states = {session.id: session.state.snapshot("", "") for session in sessions}
        self.run(self.hub.close())
        stored = self.run(self.read_history())
        assert {session_id: found.snapshot("", "") for session_id, found in stored.items()} == states
        for state in stored.values():
            self.check_answers(state)

    async def until_idle(self, sessions: list[Session]) -> None:
        """Wait until nothing runs or waits, while somebody reads: what nobody watches is abandoned."""
        readers = {session: Reader(session.subscribe()) for session in sessions}
        while any(session.state.queue or _running(session.state) for session in sessions):
            self.clock.advance(0.05)
            await turn_over()
            for session, reader in readers.items():
                try:
                    await reader.drain()
                except TooSlow:
                    readers[session] = Reader(session.subscribe())
            await asyncio.sleep(0.001)  # for the history's thread

    def check_answers(self, state: Conversation) -> None:
        """Every answer is what the model says to that question, or its beginning, whatever it went through."""
        for node in state.nodes.values():
            if node.id in self.asked and node.id not in self.strange:
                text = text_of(recital(self.asked[node.id], TOKENS))
                said = str(node.content)
                assert said == text if node.finish_reason == "stop" else text.startswith(said)


def _running(state: Conversation) -> bool:
    return any(node.running for node in state.nodes.values())


async def _tab(session: Session) -> Tab:
    return Tab(session)


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=2_000 if DEEP else 25, stateful_step_count=80 if DEEP else 40, deadline=None)
