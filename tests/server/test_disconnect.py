"""Work is done while its client is there, and cancelled when it is not."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message

from server.disconnect import unless_disconnected

PATIENCE_S = 10.0


class Connection:
    """What ASGI gives a request whose body is read: nothing, until the client leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


class Work:
    """Goes on until it is told to end, and notes how it did."""

    def __init__(self) -> None:
        self.begun, self.end = asyncio.Event(), asyncio.Event()
        self.outcome = ""

    async def do(self) -> None:
        self.begun.set()
        try:
            await self.end.wait()
            self.outcome = "done"
        except asyncio.CancelledError:
            self.outcome = "cancelled"
            raise


async def at_work() -> tuple[Connection, Work, asyncio.Task[None]]:
    connection, work = Connection(), Work()
    task = asyncio.create_task(unless_disconnected(connection.receive, work.do()))
    await work.begun.wait()
    return connection, work, task


def others() -> set[asyncio.Task[None]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def test_work_is_done_while_the_client_waits() -> None:
    async def test() -> None:
        _, work, task = await at_work()
        work.end.set()
        await asyncio.wait_for(task, PATIENCE_S)
        assert work.outcome == "done"
        assert not others(), "nobody listens to the client any more"

    asyncio.run(test())


def test_work_is_cancelled_when_the_client_leaves_and_that_is_no_error() -> None:
    async def test() -> None:
        connection, work, task = await at_work()
        connection.left.set()
        await asyncio.wait_for(task, PATIENCE_S)
        assert work.outcome == "cancelled"
        assert not others()

    asyncio.run(test())


def test_what_goes_wrong_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("the work")

    async def test() -> None:
        with pytest.raises(ValueError, match="the work"):
            await unless_disconnected(Connection().receive, fail())
        assert not others()

    asyncio.run(test())


def test_a_server_that_stops_cancels_the_work() -> None:
    async def test() -> None:
        _, work, task = await at_work()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.outcome == "cancelled"
        assert not others()

    asyncio.run(test())


def test_work_that_cancels_itself_does_not_look_as_if_the_client_had_left() -> None:
    async def fail() -> None:
        raise asyncio.CancelledError

    async def test() -> None:
        with pytest.raises(RuntimeError, match="not because its client"):
            await unless_disconnected(Connection().receive, fail())

    asyncio.run(test())
