"""Several answers that are made beside each other, as one stream of events.

Knows nothing of backends or of what is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from backends.base import Event, GenerationRequest

Events = AsyncGenerator[Event, None]

AHEAD = 64  # events that may wait to be taken, of all answers together


async def merged(answers: Sequence[Events], choices: int = 1) -> Events:
    """The events of all `answers` as they come; each has `choices` choices, and its first one follows the last before.

    The first failure ends all of them and is raised. Closing this closes them. An answer waits while nobody takes what
    the others have said.
    """
    if len(answers) == 1:
        async with aclosing(answers[0]) as only:
            async for event in only:
                yield event
        return
    said: asyncio.Queue[Event | BaseException | None] = asyncio.Queue(AHEAD)
    telling = [asyncio.create_task(_tell(answer, number * choices, said)) for number, answer in enumerate(answers)]
    try:
        running = len(telling)
        while running:
            match await said.get():
                case None:
                    running -= 1
                case BaseException() as failure:
                    raise failure
                case event:
                    yield event
    finally:
        for task in telling:
            task.cancel()
        await asyncio.wait(telling)


async def _tell(answer: Events, first: int, said: asyncio.Queue[Event | BaseException | None]) -> None:
    try:
        async with aclosing(answer) as events:
            async for event in events:
                await said.put(replace(event, index=first + event.index) if first else event)
    except Exception as failure:  # whatever it is, it is raised where the events are taken
        await said.put(failure)
    else:
        await said.put(None)


def one_by_one(request: GenerationRequest) -> list[GenerationRequest]:
    """`request` for several choices as requests for one each. A seed is another for each, or all would be the same."""
    seed = request.params.seed
    return [
        replace(
            request,
            request_id=f"{request.request_id} {number}",  # no client can call a request that: its ids have no space
            n=1,
            params=request.params if seed is None else replace(request.params, seed=(seed + number) % 2**63),
        )
        for number in range(request.n)
    ]
