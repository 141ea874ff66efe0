"""Names of requests in the engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backends.base import Message, Params, Text
from backends.pytorch.names import KEPT, Names
from tests.backends.pytorch.serving import answer, request, requests_of, started, until, within
from tests.server.watched_engine import Steps


def test_an_id_is_kept_unless_another_request_had_it_lately() -> None:
    names = Names()
    given = [names.give(wanted) for wanted in ("a", "b", "a", "a~2", "a")]
    assert given[:3] == ["a", "b", "a~2"]
    assert len(set(given)) == len(given)
    for number in range(KEPT):
        names.give(f"other {number}")
    assert names.give("a") == "a", "nobody speaks of that one any more"


def test_an_answer_hears_nothing_of_an_earlier_one_of_the_same_id(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is in mid-step for the one that was given up when the next one comes."""

    async def test() -> None:
        steps = Steps(monkeypatch)
        async with started(folder) as backend:
            other = request("r", messages=(Message("user", "something else"),))
            alone = await answer(backend, other)
            steps.hold_after(len(steps.outputs) + 3)
            first = backend.generate(request("r", params=Params(temperature=0, max_tokens=200)))
            async for event in first:
                if isinstance(event, Text):
                    break
            await until(steps.held.is_set)
            await first.aclose()
            second = asyncio.create_task(answer(backend, other))
            await until(lambda: requests_of(backend) == 1)
            steps.release()
            assert await second == alone

    within(test)
