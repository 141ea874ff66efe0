"""How long the parts of an answer took, in nanoseconds, as Ollama's last lines tell it.

They never add up to more than the whole. What the backend measured of its own work counts; what it does not tell is
taken from when its events came.
"""

from __future__ import annotations

import time

from backends.base import Done, Event, Progress

NANOSECONDS = 1_000_000
WAITING = ("queued", "loading")


class Stopwatch:
    """Runs from a request's coming to the end of its answer."""

    def __init__(self) -> None:
        self._began = time.monotonic_ns()
        self._waits = False
        self._waited = 0  # until the model was ready and it was this request's turn
        self._first: int | None = None  # the first piece

    @property
    def elapsed(self) -> int:
        """Nanoseconds so far."""
        return time.monotonic_ns() - self._began

    def see(self, event: Event) -> None:
        """An event has come."""
        waits = isinstance(event, Progress) and event.phase in WAITING
        if self._waits and not waits:
            self._waited = self.elapsed
        self._waits = waits
        if self._first is None and not isinstance(event, Progress):
            self._first = self.elapsed

    def metrics(self, done: Done) -> dict[str, int]:
        """Durations and counts for the last line."""
        total, timings = self.elapsed, done.timings
        load = min(total, self._waited if timings.queued_ms is None else round(timings.queued_ms * NANOSECONDS))
        first = (self._first or total) if timings.ttft_ms is None else round(timings.ttft_ms * NANOSECONDS)
        first = min(total, max(load, first))
        whole = total if timings.total_ms is None else round(timings.total_ms * NANOSECONDS)
        return {
            "total_duration": total,
            "load_duration": load,
            "prompt_eval_count": done.usage.prompt_tokens,
            "prompt_eval_duration": first - load,
            "eval_count": done.usage.completion_tokens,
            "eval_duration": max(0, min(total, whole) - first),
        }
