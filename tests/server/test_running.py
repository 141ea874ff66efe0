"""Stateless requests are known by their id while they run, and whoever asked can cancel them by it."""

from __future__ import annotations

import asyncio

import pytest

from server.caller import Caller
from server.running import RequestCancelled, RunningRequests

ALICE, BOB = Caller(owner="alice"), Caller(owner="bob")


async def work(running: RunningRequests, given: str, caller: Caller, begun: asyncio.Queue[str]) -> None:
    with running.enter(given, caller) as identity:
        begun.put_nowait(identity)
        await asyncio.Event().wait()


def test_a_request_is_cancelled_by_its_id() -> None:
    async def scenario() -> None:
        running, begun = RunningRequests(), asyncio.Queue[str]()
        task = asyncio.create_task(work(running, "mine", ALICE, begun))
        assert await begun.get() == "mine"
        assert running.cancel("mine", "alice")
        assert running.cancel("mine", "alice"), "Cancelling twice is no error while it runs."
        with pytest.raises(RequestCancelled, match="The request was cancelled"):
            await task
        assert task.cancelling() == 0, "The task can go on to tell its client."
        assert not len(running)
        assert not running.cancel("mine", "alice")

    asyncio.run(scenario())


def test_nobody_cancels_what_somebody_else_asked_for() -> None:
    async def scenario() -> None:
        running, begun = RunningRequests(), asyncio.Queue[str]()
        task = asyncio.create_task(work(running, "mine", ALICE, begun))
        await begun.get()
        assert not running.cancel("mine", "bob")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_an_id_that_is_taken_is_made_unique_and_still_heard() -> None:
    async def scenario() -> None:
        running, begun = RunningRequests(), asyncio.Queue[str]()
        hers = asyncio.create_task(work(running, "same", ALICE, begun))
        his = asyncio.create_task(work(running, "same", BOB, begun))
        assert await begun.get() == "same"
        assert await begun.get() != "same"
        assert running.cancel("same", "bob")
        with pytest.raises(RequestCancelled):
            await his
        assert len(running) == 1, "Hers goes on."
        assert running.cancel("same", "alice")
        with pytest.raises(RequestCancelled):
            await hers

    asyncio.run(scenario())


def test_a_client_that_leaves_while_its_request_is_cancelled_has_left() -> None:
    async def scenario() -> None:
        running, begun = RunningRequests(), asyncio.Queue[str]()
        task = asyncio.create_task(work(running, "mine", ALICE, begun))
        await begun.get()
        running.cancel("mine", "alice")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_all_that_somebody_asked_for_is_cancelled_when_they_are_sent_away() -> None:
    async def scenario() -> None:
        running, begun = RunningRequests(), asyncio.Queue[str]()
        tasks = [asyncio.create_task(work(running, name, BOB, begun)) for name in ("one", "two")]
        hers = asyncio.create_task(work(running, "hers", ALICE, begun))
        for _ in range(3):
            await begun.get()
        running.send_away(lambda caller: caller.owner == "bob")
        for task in tasks:
            with pytest.raises(RequestCancelled):
                await task
        assert not hers.done()
        running.cancel("hers", "alice")
        with pytest.raises(RequestCancelled):
            await hers

    asyncio.run(scenario())
