"""The most time that an answer may take, for callers who wait for the whole of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from backends.base import BackendTimeout
from server.clock import Clock
from server.merging import Events

SETTING = "REQUEST_TIMEOUT_S"


async def within(events: Events, seconds: float, clock: Clock) -> Events:
    """The `events`, for as long as they come in that time. Raises BackendTimeout then, and cancels the work."""
    waiting: asyncio.Timeout | None = None
    over = False

    def expire() -> None:
        nonlocal over
        over = True
        if waiting is not None:
            waiting.reschedule(0)

    timer = clock.call_later(seconds, expire)
    try:
        async with aclosing(events):
            while True:
                if over:
                    raise TimeoutError
                async with asyncio.timeout(None) as waiting:
                    event = await anext(events, None)
                waiting = None
                if event is None:
                    return
                yield event
    except TimeoutError:
        if not over:
            raise
        message = f"The answer was not finished within the {seconds:g} seconds that {SETTING} allows."
        raise BackendTimeout(message) from None
    finally:
        timer.cancel()
