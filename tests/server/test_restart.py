from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.base import Done, Event, GenerationRequest, Text, Usage
from server.commands import CommandRefused
from server.history.records import Change, HistoryError
from server.history.store import History
from server.hub import Hub
from server.options import HubOptions
from server.protocol import AiEvent, SelectCommand, StopCommand, UserCommand
from server.session import Session
from tests.server.doubles import Puppet, Reader, eventually

WORDS = [f"word{number} " for number in range(10)]
OPTIONS = HubOptions(stream_flush_ms=0, flush_interval_ms=1, drain_timeout_s=0)


class Reciter(Puppet):
    """Says the same ten words to everybody, each when it is let; goes on after those that were said before."""

    resumes = continues = True

    def __init__(self, words: int = 0) -> None:
        super().__init__()
        self.allowed = asyncio.Semaphore(words)

    def let(self, words: int) -> None:
        for _ in range(words):
            self.allowed.release()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        said = len(request.resume_text.split()) + len(request.resume_token_ids)
        for number in range(said, len(WORDS)):
            await self.allowed.acquire()
            yield Text(WORDS[number], token_ids=(number,))
        yield Done("stop", Usage(3, 0, len(WORDS) - len(request.resume_text.split())))


class Forgetful(Reciter):
    """One that cannot go on with an answer that was cut."""

    resumes = continues = False


class Mortal(History):
    """A history of a server whose power can be cut."""

    dead = False

    async def write(self, changes: Sequence[Change]) -> None:
        if self.dead:
            raise HistoryError("The power is cut.")
        await super().write(changes)


@asynccontextmanager
async def life(folder: Path, backend: Puppet, options: HubOptions = OPTIONS) -> AsyncGenerator[Hub]:
    """One life of a server over the history in `folder`. It ends as if its power was cut."""
    histories: list[Mortal] = []

    async def opened() -> History:
        histories.append(await Mortal.open("sqlite:///chat.db", folder))
        return histories[0]

    hub = Hub([backend], options, open_history=opened)
    await hub.start()
    try:
        yield hub
    finally:
        histories[0].dead = True
        await hub.close()


async def asked(hub: Hub, message: str = "Recite.") -> tuple[Session, Reader]:
    session = hub.create()
    reader = Reader(session.subscribe())
    hub.execute(session, UserCommand(message=message, cmd_id="c"))
    return session, reader


async def stored(hub: Hub, session: Session, text: str) -> None:
    """Wait until that much of the running answer is in the history."""

    async def there() -> bool:
        kept = await hub.conversations._keeper.history()
        found = await kept.load("local", session.id)
        return found is not None and "".join(piece.text for piece in found.pieces) == text

    async with asyncio.timeout(5):
        while not await there():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def run(folder: Path, *lives: Callable[..., Awaitable[None]]) -> None:
    """Each life in an event loop of its own, as each process has one."""
    for each in lives:
        asyncio.run(each(folder))


def test_an_answer_that_was_cut_goes_on_in_the_same_message(tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    async def first(folder: Path) -> None:
        backend = Reciter(4)
        async with life(folder, backend) as hub:
            session, _ = await asked(hub)
            await stored(hub, session, "".join(WORDS[:4]))
            answer = next(node for node in session.state.nodes.values() if node.role == "ai")
            seen.update(session=session.id, answer=answer.id, seed=str(backend.requests[0].params.seed))

    async def second(folder: Path) -> None:
        backend = Reciter()
        async with life(folder, backend) as hub:
            session = await hub.get(seen["session"])
            assert session is not None
            reader = Reader(session.subscribe())
            backend.let(99)
            await reader.until_end()
            assert reader.answers() == ["".join(WORDS)]
            answer = reader.state.nodes[seen["answer"]]
            assert answer.finish_reason == "stop"
            assert answer.usage is not None
            assert answer.usage.completion_tokens == len(WORDS)
            assert backend.requests[0].resume_token_ids == (0, 1, 2, 3)
            assert str(backend.requests[0].params.seed) == seen["seed"]
            await hub.saved(session)

    async def third(folder: Path) -> None:
        async with life(folder, Reciter()) as hub:
            session = await hub.get(seen["session"])
            assert session is not None
            assert str(session.state.nodes[seen["answer"]].content) == "".join(WORDS)
            assert not session.state.nodes[seen["answer"]].running

    run(tmp_path, first, second, third)


def test_an_answer_of_a_backend_that_cannot_go_on_ends_interrupted_and_keeps_its_text(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Forgetful(4)) as hub:
            session, _ = await asked(hub)
            await stored(hub, session, "".join(WORDS[:4]))
            (folder / "session").write_text(session.id)

    async def second(folder: Path) -> None:
        async with life(folder, Forgetful(99)) as hub:
            session = await hub.get((folder / "session").read_text())
            assert session is not None
            (answer,) = (node for node in session.state.nodes.values() if node.role == "ai")
            assert answer.finish_reason == "interrupted"
            assert str(answer.content) == "".join(WORDS[:4])

    run(tmp_path, first, second)


def test_an_answer_without_any_text_is_asked_for_again_whoever_gives_it(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Forgetful(0)) as hub:
            session, _ = await asked(hub)
            assert await hub.saved(session)

    async def second(folder: Path) -> None:
        backend = Forgetful()
        async with life(folder, backend) as hub:
            (session,) = hub.sessions
            reader = Reader(session.subscribe())
            backend.let(99)
            await reader.until_end()
            assert reader.answers() == ["".join(WORDS)]

    run(tmp_path, first, second)


def test_what_waits_is_answered_in_the_next_life(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Reciter(2)) as hub:
            session, _ = await asked(hub, "One")
            for message in ("Two", "Three"):
                hub.execute(session, UserCommand(message=message, cmd_id=message))
            assert await hub.saved(session)

    async def second(folder: Path) -> None:
        backend = Reciter()
        async with life(folder, backend) as hub:
            (session,) = hub.sessions
            reader = Reader(session.subscribe())
            backend.let(99)
            for _ in range(3):
                await reader.until_end()
            assert reader.answers() == ["".join(WORDS)] * 3
            asked_for = [str(node.content) for node in reader.state.nodes.values() if node.role == "user"]
            assert asked_for == ["One", "Two", "Three"]

    run(tmp_path, first, second)


def test_a_command_that_was_done_in_an_earlier_life_is_not_done_again(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Reciter(99)) as hub:
            session, reader = await asked(hub)
            await reader.until_end()
            assert await hub.saved(session)

    async def second(folder: Path) -> None:
        async with life(folder, Reciter(99)) as hub:
            page = await hub.conversations.list()
            session = await hub.get(page.items[0].id)
            assert session is not None
            ack = hub.execute(session, UserCommand(message="Recite.", cmd_id="c"))
            assert ack is not None
            assert ack.duplicate
            assert ack.id == next(iter(session.state.nodes))
            assert len(session.state.nodes) == 2

    run(tmp_path, first, second)


def test_whoever_brings_the_server_down_again_and_again_is_given_up(tmp_path: Path) -> None:
    async def stuck(folder: Path) -> None:
        async with life(folder, Reciter(0)) as hub:
            if not hub.sessions:
                session, _ = await asked(hub)
                assert await hub.saved(session)
            (session,) = hub.sessions
            (answer,) = (node for node in session.state.nodes.values() if node.role == "ai")
            ends.append(answer.finish_reason)

    ends: list[str | None] = []
    run(tmp_path, *[stuck] * 6)
    assert ends == [None] * 5 + ["interrupted"]


def test_a_drained_server_leaves_the_answer_to_the_next_life(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Reciter(4)) as hub:
            session, reader = await asked(hub)
            await eventually(lambda: "word3" in str(list(session.state.nodes.values())[-1].content))
            await hub.drain()
            await reader.drain()
            assert "ai" not in reader.types(), "It has not ended, it goes on."
            assert not hub.ready().ok

    async def second(folder: Path) -> None:
        backend = Reciter()
        async with life(folder, backend) as hub:
            (session,) = hub.sessions
            reader = Reader(session.subscribe())
            backend.let(99)
            await reader.until_end()
            assert reader.answers() == ["".join(WORDS)]

    run(tmp_path, first, second)


def test_a_drain_waits_for_an_answer_that_is_soon_done(tmp_path: Path) -> None:
    async def scenario(folder: Path) -> None:
        backend = Reciter(4)
        async with life(folder, backend, HubOptions(stream_flush_ms=0, drain_timeout_s=10)) as hub:
            _, reader = await asked(hub)
            draining = asyncio.create_task(hub.drain())
            await asyncio.sleep(0)
            session = reader.subscriber.session
            with pytest.raises(CommandRefused) as refused:
                hub.execute(session, UserCommand(message="More."))
            assert refused.value.retry_after
            question = next(iter(session.state.nodes))
            hub.execute(session, SelectCommand(type="select", id=question, cmd_id="s"))
            backend.let(6)
            await draining
            await reader.drain()
            assert reader.answers() == ["".join(WORDS)]
            assert reader.types()[-1] == "ai"

    run(tmp_path, scenario)


def test_what_was_said_to_be_finished_is_stored_by_then(tmp_path: Path) -> None:
    """The power is cut in the very moment in which the end is told."""

    async def first(folder: Path) -> None:
        async with life(folder, Forgetful(99)) as hub:
            session = hub.create()
            kept = await hub.conversations._keeper.history()

            def cut(_: Session, event: object) -> None:
                if isinstance(event, AiEvent):
                    kept.dead = True  # type: ignore[attr-defined]

            told = session.published
            session.published = lambda session, event: (cut(session, event), told(session, event))[1]
            reader = Reader(session.subscribe())
            hub.execute(session, UserCommand(message="Recite."))
            await reader.until_end()
            assert reader.answers() == ["".join(WORDS)]

    async def second(folder: Path) -> None:
        backend = Forgetful()
        async with life(folder, backend) as hub:
            (session,) = hub.sessions
            (answer,) = (node for node in session.state.nodes.values() if node.role == "ai")
            assert (str(answer.content), answer.finish_reason) == ("".join(WORDS), "stop")
            assert not backend.requests

    run(tmp_path, first, second)


def test_a_stopped_answer_stays_stopped(tmp_path: Path) -> None:
    async def first(folder: Path) -> None:
        async with life(folder, Reciter(4)) as hub:
            session, _ = await asked(hub)
            await stored(hub, session, "".join(WORDS[:4]))
            hub.execute(session, StopCommand(type="stop", cmd_id="s"))
            assert await hub.saved(session)

    async def second(folder: Path) -> None:
        backend = Reciter(99)
        async with life(folder, backend) as hub:
            assert not hub.sessions, "Nothing is unfinished."
            assert not backend.requests

    run(tmp_path, first, second)
