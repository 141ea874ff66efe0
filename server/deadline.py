"""The most time that an answer may take, for callers who wait for the whole of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from backends.base import BackendTimeout, Done
from server.clock import Clock
from server.merging import Events

SETTING = "REQUEST_TIMEOUT_S"


async def within(events: Events, seconds: float, clock: Clock) -> Events:
    """The `events`, for as long as they come in that time. Raises BackendTimeout then, and cancels the work.

    One timer for all of them: a time limit around each would cost more than everything else that is done for a token.
    """
    waiting = asyncio.current_task()  # None: whoever takes the events is busy with one, and must not be disturbed
    struck: asyncio.Task[object] | None = None
    over = late = False

    def expire() -> None:
        nonlocal over, struck
        over, struck = True, waiting
        if struck is not None:
            struck.cancel()

    timer = clock.call_later(seconds, expire)
    try:
        async with aclosing(events):
            async for event in events:
                waiting = None
                yield event
                late = over and not isinstance(event, Done)
                if late:
                    break
                waiting = asyncio.current_task()
    except asyncio.CancelledError:
        if struck is None or struck.uncancel() > 0:  # somebody else wants the task to end, too
            raise
        late = True
    finally:
        timer.cancel()
    if late:
        raise BackendTimeout(f"The answer was not finished within the {seconds:g} seconds that {SETTING} allows.")
