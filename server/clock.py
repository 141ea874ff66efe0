"""Time, as the hub sees it: one object, so that a test can hold the hands.

Knows nothing of what the time is for. Deadlines are monotonic: a clock set back by hand changes none. What people are
shown is the time of day.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that is due later."""

    def cancel(self) -> None: ...


class Clock:
    """The running event loop's time, in seconds."""

    def now(self) -> float:
        """Seconds since some moment: what deadlines are measured by."""
        return time.monotonic()

    def today(self) -> float:
        """The time of day, in Unix seconds: it may jump, so it only labels what people see."""
        return time.time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop `delay` seconds from now, unless the timer is cancelled before."""
        return asyncio.get_running_loop().call_later(delay, callback)
