"""Whether anything held up the event loop: the CPU time of every callback that it ran.

CPU time of the loop's own thread, so that a busy machine blames nobody. Left out is what the garbage collector takes to
look through the objects of all tests so far, which no server has.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LIMIT_S = 0.05


@dataclass(slots=True)
class LoopWatch:
    """The callbacks that took longer than the limit, by what they were and how many seconds they took."""

    callbacks: int = 0
    longest: float = 0.0
    slow: list[tuple[str, float]] = field(default_factory=list)

    def note(self, handle: asyncio.Handle, seconds: float) -> None:
        self.callbacks += 1
        self.longest = max(self.longest, seconds)
        if seconds > LIMIT_S:
            self.slow.append((repr(handle)[:500], round(seconds, 3)))


@contextmanager
def watched_loop() -> Iterator[LoopWatch]:
    """Watch the loops of this thread, and fail at the end if one of them was ever held up."""
    watch, thread = LoopWatch(), threading.get_ident()
    run = asyncio.Handle._run
    collecting = began = 0.0

    def collect(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting, began
        if threading.get_ident() != thread:
            return
        if phase == "start":
            began = time.thread_time()
        else:
            collecting += time.thread_time() - began

    def timed(handle: asyncio.Handle) -> None:
        if threading.get_ident() != thread:
            run(handle)
            return
        start = time.thread_time() - collecting
        run(handle)
        watch.note(handle, time.thread_time() - collecting - start)

    gc.callbacks.append(collect)
    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]
        gc.callbacks.remove(collect)
    assert not watch.slow, f"the event loop was held up by {watch.slow}"
