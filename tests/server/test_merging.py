"""Several answers at once are one stream of events, which ends as one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from backends.base import BackendFailed, Done, GenerationRequest, Params, Text
from backends.echo import EchoBackend
from server.hub import Hub
from server.merging import Events, merged, one_by_one
from tests.server.doubles import PATIENCE_S, Puppet, eventually


def asked(prompt: str, **more: Any) -> GenerationRequest:
    return GenerationRequest(f"ask {prompt}", "echo", prompt=prompt, **more)


async def texts(events: Events) -> dict[int, str]:
    said: dict[int, str] = {}
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Text):
                said[event.index] = said.get(event.index, "") + event.text
    return said


def test_each_answer_has_places_of_its_own() -> None:
    echo = EchoBackend()
    answers = [echo.generate(asked(prompt)) for prompt in ("one two", "three", "four five six")]
    assert asyncio.run(texts(merged(answers, choices=2))) == {0: "one two", 2: "three", 4: "four five six"}


def test_the_first_failure_ends_all() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        answers = [puppet.generate(asked("a")), EchoBackend(delay=60).generate(asked("b c"))]
        puppet.say(BackendFailed("It broke."))
        with pytest.raises(BackendFailed, match="It broke"):
            await texts(merged(answers))

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_who_takes_no_more_ends_all() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        puppet.say("so ")
        async with aclosing(merged([puppet.generate(asked("a")), puppet.generate(asked("b"))])) as events:
            assert isinstance(await anext(events), Text)
        assert sorted(puppet.cancelled) == ["ask a", "ask b"]

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_several_choices_are_asked_for_one_by_one_where_the_backend_makes_only_one() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        hub = Hub([puppet])
        await hub.start()
        request = GenerationRequest("r", "toy", prompt="a", n=3, params=Params(seed=7))
        puppet.say(*(Done("stop") for _ in range(3)))
        async with aclosing(hub.generate(request)) as events:
            ends = [event.index async for event in events]
        assert sorted(ends) == [0, 1, 2]
        assert [(each.n, each.params.seed) for each in puppet.requests] == [(1, 7), (1, 8), (1, 9)]
        assert len({each.request_id for each in puppet.requests}) == 3
        await hub.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_backend_that_branches_is_asked_once() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        puppet.branches = True
        hub = Hub([puppet])
        await hub.start()
        puppet.say(Done("stop", index=1), EOFError())
        with pytest.raises(BackendFailed, match="broke off"):  # for want of the second choice's end
            await texts(hub.generate(GenerationRequest("r", "toy", prompt="a", n=2)))
        assert [each.n for each in puppet.requests] == [2]
        await hub.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_an_id_that_is_taken_is_another_one_for_the_backend() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        hub = Hub([puppet])
        await hub.start()
        request = GenerationRequest("same", "toy", prompt="a")
        asking = [asyncio.create_task(texts(hub.generate(request))) for _ in range(2)]
        await eventually(lambda: len(puppet.requests) == 2)
        first, second = puppet.requests
        assert first.request_id == "same" != second.request_id
        puppet.say(Done("stop"), Done("stop"))
        await asyncio.gather(*asking)
        assert hub.active == 0
        await hub.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_seed_is_another_for_each_choice_also_at_its_end() -> None:
    seeds = [each.params.seed for each in one_by_one(asked("a", n=2, params=Params(seed=2**63 - 1)))]
    assert seeds == [2**63 - 1, 0]
