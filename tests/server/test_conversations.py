from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.base import Done
from server.conversations import UNDO_S
from server.history.records import HistoryError
from server.history.store import History
from server.hub import Hub
from server.keeper import REOPEN_S
from server.options import HubOptions
from server.protocol import SessionMessage, UserCommand
from server.session import Session
from tests.server.doubles import ManualClock, Puppet, Reader, eventually, turn_over


class Stage:
    """A hub over a history, and everything that those who watch the list are told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.backend = folder, ManualClock(), Puppet()
        self.problem: str | None = None
        self.hub = Hub([self.backend], HubOptions(window_s=60), self.clock, open_history=self._open)
        self.list = self.hub.conversations
        self.lines: list[SessionMessage] = []
        self.hub.connections.show_line = lambda line, _: self.lines.append(line)  # type: ignore[method-assign]
        self.list._tell = lambda line, _: self.lines.append(line)

    async def _open(self) -> History:
        if self.problem is not None:
            raise HistoryError(self.problem)
        return await History.open("sqlite:///chat.db", self.folder)

    async def talk(self, message: str = "What is love?", *, stays: bool = False) -> Session:
        self.clock.advance(1)
        session = self.hub.create()
        reader = Reader(session.subscribe())
        self.hub.execute(session, UserCommand(message=message))
        if not stays:
            self.backend.say("Baby", Done("stop"))
            await reader.until_end()
            assert await self.hub.saved(session)
        reader.subscriber.close()
        return session

    async def forget(self, session: Session) -> None:
        """Let `session` fall out of memory."""
        self.clock.advance(200)
        assert self.hub.sessions.get(session.id) is None

    async def titles(self) -> list[str]:
        return [item.title for item in (await self.list.list()).items]


def on_stage(folder: Path, scenario: Callable[[Stage], Awaitable[None]], problem: str | None = None) -> None:
    @asynccontextmanager
    async def running() -> AsyncGenerator[Stage]:
        stage = Stage(folder)
        stage.problem = problem
        await stage.hub.start()
        try:
            yield stage
        finally:
            await stage.hub.close()

    async def run() -> None:
        async with running() as stage:
            await scenario(stage)

    asyncio.run(run())


def test_a_conversation_is_listed_by_its_first_words_from_when_something_is_said(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        stage.hub.create()
        assert await stage.titles() == []
        await stage.talk("# What is love?\n\nTell me.")
        assert await stage.titles() == ["What is love?"]

    on_stage(tmp_path, scenario)


def test_those_who_watch_the_list_see_an_answer_begin_and_end(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk(stays=True)
        await turn_over()
        assert [(line.title, line.running) for line in stage.lines] == [("What is love?", True)]
        stage.backend.say(Done("stop"))
        await eventually(lambda: stage.lines[-1].running is False)
        assert stage.lines[-1].id == session.id

    on_stage(tmp_path, scenario)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_new_title_stays_whatever_is_said(tmp_path: Path, in_memory: bool) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk()
        if not in_memory:
            await stage.forget(session)
        renamed = await stage.list.rename(session.id, "Love")
        assert renamed is not None
        assert stage.lines[-1].title == "Love"
        again = await stage.hub.get(session.id)
        assert again is not None
        assert again.about.titled
        stage.hub.execute(again, UserCommand(message="And hate?"))
        stage.backend.say(Done("stop"))
        await eventually(lambda: not stage.lines[-1].running)
        assert await stage.titles() == ["Love"]

    on_stage(tmp_path, scenario)


@pytest.mark.parametrize("in_memory", [True, False])
def test_pinned_conversations_come_first(tmp_path: Path, in_memory: bool) -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.talk("First")
        second = await stage.talk("Second")
        assert await stage.titles() == ["Second", "First"]
        if not in_memory:
            await stage.forget(second)
        await stage.list.pin(first.id, pinned=True)
        assert await stage.titles() == ["First", "Second"]
        await stage.list.pin(first.id, pinned=False)
        assert await stage.titles() == ["Second", "First"]

    on_stage(tmp_path, scenario)


def test_a_deleted_conversation_ends_what_runs_in_it_and_can_be_had_back_whole(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk(stays=True)
        reader = Reader(session.subscribe())
        stage.backend.say("Ba")
        await reader.until("delta")
        assert await stage.list.delete(session.id)
        assert (stage.lines[-1].id, stage.lines[-1].removed) == (session.id, True)
        assert await stage.hub.get(session.id) is None
        assert await stage.titles() == []
        await eventually(lambda: stage.backend.cancelled)
        assert await stage.list.restore(session.id) is not None
        back = await stage.hub.get(session.id)
        assert back is not None
        assert [str(node.content) for node in back.state.nodes.values()] == ["What is love?", "Ba"]

    on_stage(tmp_path, scenario)


def test_after_an_hour_a_deleted_conversation_is_gone(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        first, second = await stage.talk("First"), await stage.talk("Second")
        assert await stage.list.delete(first.id)
        history = await stage.list._history()
        await history.purge(history._clock() + UNDO_S)
        assert await stage.list.restore(first.id) is None
        assert await stage.titles() == [second.about.title]

    on_stage(tmp_path, scenario)


def test_nobody_has_the_conversations_of_another_owner(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk()
        stranger = "stranger"
        for in_memory in (True, False):
            if not in_memory:
                await stage.forget(session)
            assert await stage.hub.get(session.id, stranger) is None
            assert await stage.list.about(session.id, stranger) is None
            assert await stage.list.rename(session.id, "Mine", stranger) is None
            assert await stage.list.pin(session.id, True, stranger) is None
            assert not await stage.list.delete(session.id, stranger)
            assert (await stage.list.list(stranger)).items == []
            assert await stage.list.search("love", stranger) == []
        assert await stage.titles() == ["What is love?"]

    on_stage(tmp_path, scenario)


def test_what_was_said_a_moment_ago_is_found(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk("Where do swallows nest?", stays=True)
        (found,) = await stage.list.search("swallow")
        assert found.about.id == session.id

    on_stage(tmp_path, scenario)


def test_a_conversation_falls_out_of_memory_only_when_it_is_stored(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        session = await stage.talk()
        stage.hub.recorder.failing("The disk is full.")
        stage.hub.recorder.changed(session)
        stage.clock.advance(1000)
        assert stage.hub.sessions.get(session.id) is session

    on_stage(tmp_path, scenario)


def test_without_its_history_the_server_chats_says_so_and_catches_up(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        assert not stage.hub.recorder.on
        session = await stage.talk(stays=True)
        reader = Reader(session.subscribe())
        stage.backend.say("Baby", Done("stop"))
        await reader.until_end()
        with pytest.raises(HistoryError, match="locked"):
            await stage.list.list()
        stage.problem = None
        stage.clock.advance(REOPEN_S)
        await eventually(lambda: stage.hub.recorder.on)
        assert await stage.titles() == ["What is love?"]

    on_stage(tmp_path, scenario, problem="The history is locked.")
