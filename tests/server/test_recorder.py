from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from server.history.records import Change, HistoryError, Piece, RunRecord
from server.protocol import DeltaEvent, TypingEvent, UserEvent
from server.recorder import RETRY_S, Recorder
from server.session import Limits, Session
from tests.server.doubles import ManualClock, about, eventually, turn_over

INTERVAL_S = 0.25


class Shelf:
    """Keeps every change it is handed, or fails while it is told to."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.writes = 0
        self.problem: str | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, changes: Sequence[Change]) -> None:
        self.writes += 1
        await self.open.wait()
        if self.problem is not None:
            raise HistoryError(self.problem)
        self.changes += changes


class Desk:
    """A recorder over a shelf, with one session."""

    def __init__(self) -> None:
        self.shelf, self.clock = Shelf(), ManualClock()
        self.told: list[str | None] = []
        self.recorder = Recorder(self.shelf, self.clock, INTERVAL_S, self.told.append)
        self.session = Session(about(), Limits(), self.clock)
        self.session.published = lambda session, _: self.recorder.changed(session)

    def ask(self) -> None:
        self.session.publish(UserEvent(id="u", message="Hi", run="a"))
        self.session.publish(TypingEvent(id="a", parent_id="u", model="m"))
        self.recorder.running(self.session, RunRecord("a", {}), 0)

    def write(self, text: str, token: int) -> None:
        offset = self.session.state.nodes["a"].content.length
        self.session.publish(DeltaEvent(id="a", offset=offset, message=text))
        self.recorder.piece(self.session, Piece("content", text, (token,)))

    async def pass_time(self, seconds: float = INTERVAL_S) -> None:
        self.clock.advance(seconds)
        await turn_over()


def at_the_desk(scenario: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk()
        await scenario(desk)
        await desk.recorder.close()

    asyncio.run(run())


def test_what_changes_within_an_interval_is_written_together() -> None:
    async def scenario(desk: Desk) -> None:
        desk.session.publish(UserEvent(id="u", message="Hi", run="a"))
        desk.session.publish(TypingEvent(id="a", parent_id="u", model="m"))
        await turn_over()
        assert desk.shelf.writes == 0
        await desk.pass_time()
        (change,) = desk.shelf.changes
        assert [record.message.id for record in change.messages] == ["u", "a"]
        assert change.head == 2

    at_the_desk(scenario)


def test_what_people_count_on_is_written_at_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.ask()
        await turn_over()
        assert desk.shelf.changes[0].run == RunRecord("a", {})

    at_the_desk(scenario)


def test_pieces_are_numbered_through_and_each_is_written_once() -> None:
    async def scenario(desk: Desk) -> None:
        desk.ask()
        await turn_over()
        for number, word in enumerate(("One", " two", " three")):
            desk.write(word, number)
            await desk.pass_time()
        numbered = [
            (change.first_piece + at, piece.text)
            for change in desk.shelf.changes
            for at, piece in enumerate(change.pieces)
        ]
        assert numbered == [(0, "One"), (1, " two"), (2, " three")]

    at_the_desk(scenario)


def test_a_running_answer_is_kept_as_it_was_when_it_began() -> None:
    async def scenario(desk: Desk) -> None:
        desk.ask()
        desk.write("Much", 1)
        await turn_over()
        answer = desk.shelf.changes[0].messages[1].message
        assert answer.message == "", "What came since is in its pieces."
        assert desk.shelf.changes[0].pieces == (Piece("content", "Much", (1,)),)

    at_the_desk(scenario)


def test_a_failed_write_loses_nothing_and_is_tried_again() -> None:
    async def scenario(desk: Desk) -> None:
        desk.shelf.problem = "The disk is full."
        desk.ask()
        await turn_over()
        desk.write("One", 1)
        await desk.pass_time()
        assert desk.told == ["The disk is full."], "People are told once."
        assert not desk.recorder.on
        assert not desk.recorder.has_all(desk.session)
        writes = desk.shelf.writes
        desk.write(" two", 2)
        await desk.pass_time()
        assert desk.shelf.writes == writes, "A database that fails is not asked all the time."
        desk.shelf.problem = None
        await desk.pass_time(RETRY_S)
        (change,) = desk.shelf.changes
        assert [record.message.id for record in change.messages] == ["u", "a"]
        assert [piece.text for piece in change.pieces] == ["One", " two"]
        assert desk.told == ["The disk is full.", None]
        assert desk.recorder.has_all(desk.session)

    at_the_desk(scenario)


def test_whoever_waits_for_what_was_said_waits_for_the_write_that_holds_it() -> None:
    async def scenario(desk: Desk) -> None:
        desk.shelf.open.clear()
        desk.ask()
        await turn_over()
        desk.write("later", 1)
        waiting = asyncio.create_task(desk.recorder.saved(desk.session))
        desk.shelf.open.set()
        await eventually(lambda: desk.shelf.changes)
        assert not waiting.done(), "The write that was under way does not hold it."
        await desk.pass_time()
        assert await waiting
        assert desk.shelf.changes[1].pieces[0].text == "later"

    at_the_desk(scenario)


def test_nobody_waits_for_a_history_that_is_off() -> None:
    async def scenario(desk: Desk) -> None:
        desk.shelf.problem = "The disk is full."
        desk.ask()
        waiting = asyncio.create_task(desk.recorder.saved(desk.session))
        assert not await waiting
        assert not await desk.recorder.saved(desk.session)

    at_the_desk(scenario)


def test_what_was_asked_is_written_once_and_again_after_a_failure() -> None:
    """The history may have been moved aside meanwhile, and a new one knows nothing of the run."""

    async def scenario(desk: Desk) -> None:
        desk.ask()
        await desk.pass_time()
        for text in ("One", " two"):
            desk.write(text, 1)
            await desk.pass_time()
        assert [change.run_stored for change in desk.shelf.changes] == [False, True, True]
        desk.shelf.problem = "The disk is full."
        desk.write(" three", 3)
        await desk.pass_time()
        desk.shelf.problem = None
        await desk.pass_time(RETRY_S)
        assert not desk.shelf.changes[-1].run_stored
        desk.recorder.running(desk.session, RunRecord("a", {}, attempts=2))
        desk.write(" four", 4)
        await desk.pass_time()
        assert not desk.shelf.changes[-1].run_stored, "It is another record."

    at_the_desk(scenario)


def test_an_answer_that_runs_a_second_time_has_pieces_of_its_own() -> None:
    async def scenario(desk: Desk) -> None:
        desk.ask()
        desk.write("One", 1)
        desk.shelf.open.clear()
        await turn_over()
        desk.recorder.ended(desk.session, "a")
        desk.recorder.running(desk.session, RunRecord("a", {"again": True}), 0)
        desk.write(" two", 2)
        desk.shelf.open.set()
        await turn_over()
        last = desk.shelf.changes[-1]
        assert last.ended == ("a",)
        assert last.run == RunRecord("a", {"again": True})
        assert (last.first_piece, [piece.text for piece in last.pieces]) == (0, [" two"])

    at_the_desk(scenario)


def test_without_a_history_nothing_is_remembered() -> None:
    async def run() -> None:
        recorder = Recorder(None, ManualClock(), INTERVAL_S, lambda _: None)
        session = Session(about(), Limits(), ManualClock())
        session.published = lambda session, _: recorder.changed(session)
        session.publish(UserEvent(id="u", message="Hi", run="a"))
        assert not session.state.take_changes().messages
        assert recorder.has_all(session)
        assert not await recorder.saved(session)
        await recorder.close()

    asyncio.run(run())
