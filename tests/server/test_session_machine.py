"""Whatever happens to the clients of a session, in whatever order, they all arrive at the server's text."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backends.base import BackendFailed, Done
from server.hub import Hub
from server.options import HubOptions
from server.protocol import Ack, StopCommand, UserCommand
from server.subscriber import TooSlow
from tests.server.doubles import ManualClock, Puppet, Reader, turn_over

OPTIONS = HubOptions(window_events=12, window_bytes=3_000, subscriber_bytes=2_000, detach_timeout_s=50, window_s=1e9)
PIECES = st.text(alphabet="a\n é😀" + "\ud83d\ude00", min_size=1, max_size=12)


class Tab(Reader):
    """A reader that may stop reading, lose its line, or be sent away, and that can come back."""

    connected = True


class SessionMachine(RuleBasedStateMachine):
    """One session, its runs, and a handful of tabs that come, go, dawdle and return."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock, self.puppet = ManualClock(), Puppet()
        self.hub = Hub([self.puppet], OPTIONS, self.clock)
        self.run(self.hub.start())
        self.session = self.hub.create()
        self.tabs: list[Tab] = []
        self.commands: list[UserCommand] = []
        self.connect()

    def run(self, coroutine: Coroutine[object, object, object]) -> None:
        self.loop.run_until_complete(coroutine)

    def act(self, action: object = None) -> None:
        """Let everything that was set off run its course."""
        del action
        self.run(turn_over())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                self.everybody_comes_home()
            finally:
                self.loop.close()

    def everybody_comes_home(self) -> None:
        self.run(self.hub.close())
        for tab in self.tabs:
            self.read(tab)
            if not tab.connected:
                self.resume(tab)
        for tab in self.tabs:
            assert tab.state.snapshot("s", "e") == self.session.state.snapshot("s", "e"), "a tab ends up elsewhere"
        assert not self.session.state.snapshot("s", "e").running, "a run without an end"

    # What people do

    @rule()
    def connect(self) -> None:
        if len(self.tabs) < 4:
            self.tabs.append(self.loop.run_until_complete(self._subscribe(None, None)))

    async def _subscribe(self, after: int | None, epoch: str | None) -> Tab:
        return Tab(self.session.subscribe(after, epoch))

    @rule(message=st.text(min_size=1, max_size=8).filter(str.strip), number=st.integers(0, 10**6))
    def prompt(self, message: str, number: int) -> None:
        if len(self.session.state.queue) < 3:
            command = UserCommand(message=message, cmd_id=f"{len(self.commands)}-{number}")
            self.commands.append(command)
            self.act(self._execute(command))

    @rule(pick=st.integers(0, 10**6))
    def say_it_again(self, pick: int) -> None:
        if self.commands:
            head = self.session.head
            ack = self._execute(self.commands[pick % len(self.commands)])
            assert ack.duplicate
            assert self.session.head == head, "a repeated command must change nothing"

    def _execute(self, command: UserCommand) -> Ack:
        async def execute() -> Ack | None:
            return self.hub.execute(self.session, command)

        ack = self.loop.run_until_complete(execute())
        assert ack is not None, "a command with an id is always acknowledged"
        return ack

    @rule()
    def stop(self) -> None:
        async def stop() -> None:
            self.hub.execute(self.session, StopCommand(type="stop"))

        self.act(self.run(stop()))

    # What the model does

    @rule(pieces=st.lists(PIECES, min_size=1, max_size=15))
    def speak(self, pieces: list[str]) -> None:
        self.puppet.say(*pieces)
        self.act()

    @rule()
    def finish(self) -> None:
        self.puppet.say(Done("stop"))
        self.act()

    @rule()
    def fail(self) -> None:
        self.puppet.say(BackendFailed("It broke."))
        self.act()

    @rule(seconds=st.sampled_from([0.05, 1.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        async def advance() -> None:
            self.clock.advance(seconds)

        self.act(self.run(advance()))

    # What becomes of the tabs

    @rule(pick=st.integers(0, 3), frames=st.integers(1, 5))
    def dawdle(self, pick: int, frames: int) -> None:
        """Read a few frames only."""
        self.read(self.tabs[pick % len(self.tabs)], frames)

    @rule(pick=st.integers(0, 3))
    def catch_up(self, pick: int) -> None:
        self.read(self.tabs[pick % len(self.tabs)])

    @rule(pick=st.integers(0, 3))
    def cut(self, pick: int) -> None:
        tab = self.tabs[pick % len(self.tabs)]
        tab.connected = False
        tab.subscriber.close()

    @rule(pick=st.integers(0, 3))
    def come_back(self, pick: int) -> None:
        tab = self.tabs[pick % len(self.tabs)]
        if not tab.connected:
            self.resume(tab)

    def resume(self, tab: Tab) -> None:
        async def subscribe() -> None:
            tab.subscriber = self.session.subscribe(tab.state.seq, self.session.epoch)

        self.run(subscribe())
        tab.connected = True
        self.act()
        self.read(tab)

    def read(self, tab: Tab, frames: int | None = None) -> None:
        async def read() -> None:
            try:
                for _ in range(frames if frames is not None else 10_000):
                    if not await tab.step():
                        return
            except TooSlow:
                tab.connected = False

        if tab.connected:
            self.run(read())

    # What always holds

    @invariant()
    def every_tab_has_seen_a_beginning_of_the_log_without_a_hole(self) -> None:
        for tab in getattr(self, "tabs", []):
            assert tab.state.seq <= self.session.head
            if tab.state.seq == self.session.head:
                assert tab.state.snapshot("s", "e") == self.session.state.snapshot("s", "e")

    @invariant()
    def memory_is_bounded(self) -> None:
        for tab in getattr(self, "tabs", []):
            if tab.subscriber in self.session._subscribers:
                newest = len(self.session.entry(self.session.head).frame.encode()) if self.session.head else 0
                assert tab.subscriber.unsent - newest <= OPTIONS.subscriber_bytes
        if hasattr(self, "session"):
            assert len(self.session._window) <= OPTIONS.window_events


TestSessions = SessionMachine.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
