"""A conversation at the terminal: asks, shows what comes, and goes on after whatever breaks in between.

Puts the parts together: the line to the server, the fold of its log, what is printed, and where a person types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from terminal.address import Address
from terminal.api import Api
from terminal.asking import Asking
from terminal.conversation import Conversation
from terminal.frames import Ack, Delta, Event, Frame, Refused, Snapshot, System
from terminal.link import Gap, Link
from terminal.screen import Screen
from terminal.status import Status
from terminal.transcript import Transcript

LOOK_AGAIN_S = 0.25  # the status shows seconds


class Chat:
    """One person's side of a conversation. `run` keeps the line; the rest is what the person may do.

    Hears what the link tells.
    """

    def __init__(self, address: Address, session: str | None, asking: Asking, screen: Screen) -> None:
        self.api = Api(address)
        self.asking = asking
        self.screen = screen
        self.model = ""  # that the server takes unless it is told another
        self.title = ""
        self.link = Link(address, Conversation(session), self)
        self._transcript = Transcript(screen)
        self._status = Status()
        self._changed = asyncio.Event()
        self._head = -1  # of the log, when it was last greeted; before that, -1
        self._lost = False
        self._acks: dict[str, Ack] = {}
        self._refused: dict[str, str] = {}  # commands that were not done, and why
        self._waited_for = ""  # the command whose answer is waited for
        self._interrupts = 0
        self._watching = False
        self._working: asyncio.Task[None] | None = None

    @property
    def conversation(self) -> Conversation:
        return self.link.conversation

    def below(self) -> str:
        """The line under the prompt."""
        state = "" if self.link.up else "not connected, trying again · "
        title = f" · {self.title}" if self.title else ""
        return f"{state}{self.asking.model or self.model}{title} · /help"

    @property
    def busy(self) -> bool:
        """Whether something is waited for that Ctrl-C could end."""
        return self._watching or self._working is not None

    @property
    def arrived(self) -> bool:
        """Whether the conversation is there."""
        return 0 <= self._head <= self.conversation.seq

    async def close(self) -> None:
        """Take away what may still change, and hang up."""
        self._transcript.leave()
        await self.api.close()

    # What the person does

    async def arrive(self) -> None:
        """Wait until the conversation is there, and whatever is being written in it."""
        await self._until(lambda: self.arrived)
        running = self.conversation.last_answer()
        if running is not None and running.running:
            await self._watch(lambda: not running.running or self.conversation.messages.get(running.id) is not running)

    async def say(self, message: str) -> None:
        """Say something, and show the answer until it has ended."""
        cmd_id = self.link.send(self.asking.command(message))
        self._transcript.mine.add(cmd_id)
        await self._follow(cmd_id)

    async def ask_for(self, command: dict[str, Any]) -> None:
        """Have an answer written by another command than a message; show it until it has ended."""
        await self._follow(self.link.send(command))

    async def enter(self, session: str | None) -> None:
        """Go to another conversation, or to a new one."""
        self._transcript.forget()
        self._head, self.title = -1, ""
        await self.link.change(Conversation(session))
        await self.arrive()

    async def work(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something that may take long, and show how far it is. Ctrl-C gives it up."""
        self._status.begin()
        self._working = asyncio.create_task(doing)
        self._working.add_done_callback(lambda _: self._changed.set())
        try:
            while not self._working.done():
                self._transcript.grew(self.conversation, self._status.line(up=True, place=None, stopping=False))
                await self._change()
            self._transcript.leave()
            if not self._working.cancelled():
                self._working.result()
        finally:
            self._working.cancel()
            self._working = None

    def interrupt(self) -> None:
        """Ctrl-C, while nobody is asked for anything: stop the answer, and at the second time stop waiting for it."""
        if self._working is not None:
            self._working.cancel()
        else:
            self._interrupts += 1
            if self._interrupts == 1:
                self.stop()
        self._changed.set()

    def stop(self) -> None:
        """End the answer that is being written, or take back the message that waits for its turn."""
        waiting = [each.id for each in self.conversation.queue.values() if each.cmd_id == self._waited_for]
        self.link.send({"type": "queue_remove", "id": waiting[0]} if waiting else {"type": "stop"})

    # What the link tells

    def heard(self, frame: Frame) -> None:
        """Take in a frame, and show what it changes. Raises Gap when something before it is missing."""
        self._status.heard(frame)
        if isinstance(frame, (Event, Snapshot)):
            if self.conversation.apply(frame) == "gap":
                raise Gap
            if isinstance(frame, Delta):
                self._transcript.grew(self.conversation, self._line())
            else:
                self._transcript.catch_up(self.conversation, self._line())
        elif isinstance(frame, System):
            self._told(frame)
        elif isinstance(frame, Ack):
            self._acks[frame.cmd_id] = frame
        elif isinstance(frame, Refused) and frame.cmd_id is not None:
            self._refused[frame.cmd_id] = frame.message
        elif isinstance(frame, Refused):
            self.screen.note(frame.message, "yellow")
        self._changed.set()

    def line_lost(self, delay: float) -> None:
        """Say it once for each time that the line is lost, unless the status tells of it anyway."""
        if not self._lost and self._head >= 0 and self._tells:
            self.screen.note(f"The connection is lost; trying again in {delay:.0f} s, and then on.", "yellow")
        self._lost = True
        self._changed.set()

    def _told(self, frame: System) -> None:
        if frame.session is None:
            self.screen.note(frame.message)
            return
        if self.conversation.session not in (None, frame.session):
            self._transcript.forget()
            self.link.conversation = Conversation()
        self.conversation.greet(frame)
        if self._lost and self._head >= 0 and self._tells:
            self.screen.note("Connected again.", "green")
        self._lost, self._head = False, frame.head
        self.model, self.title = frame.model, frame.title

    @property
    def _tells(self) -> bool:
        return self.screen.plain or not self._watching

    # Waiting

    async def _follow(self, cmd_id: str) -> None:
        self._waited_for = cmd_id
        await self._watch(lambda: self._is_over(cmd_id))
        self._waited_for = ""
        if cmd_id in self._refused:
            self.screen.note(self._refused.pop(cmd_id), "red")

    async def _watch(self, over: Callable[[], bool]) -> None:
        """Show what goes on until it is `over`, or somebody has interrupted twice."""
        self._interrupts = 0
        self._status.begin()
        self._watching = True
        self.link.wake()
        while not over() and self._interrupts < 2:
            self._transcript.grew(self.conversation, self._line())
            await self._change()
        self._watching = False
        self._transcript.leave()

    def _is_over(self, cmd_id: str) -> bool:
        """Whether the answer that a command asked for has ended, or will never come."""
        if cmd_id in self._refused:
            return True
        run = self.conversation.run_of(cmd_id)
        if run is not None:
            answer = self.conversation.messages.get(run)
            return answer is not None and not answer.running
        ack = self._acks.get(cmd_id)
        told = ack is not None and self.conversation.seq >= (ack.seq or 0)
        return told and self.conversation.waits(cmd_id) is None  # somebody took it back

    def _line(self) -> str:
        """What goes on, while it is watched."""
        if not self._watching:
            return ""
        place = self.conversation.waits(self._waited_for)
        return self._status.line(up=self.link.up, place=place, stopping=self._interrupts > 0)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._change()

    async def _change(self) -> None:
        """Wait until something was heard, or a moment has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._changed.wait()
        self._changed.clear()
