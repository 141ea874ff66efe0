"""How long a step's parts take and how many tokens come out a second, over the last moments."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

Part = Literal["schedule", "model", "sample", "postprocess"]

WINDOW = 5.0  # seconds that the rate is taken over
_WEIGHT = 0.05  # of the newest step in the moving averages


class StepMeter:
    """Told when a step begins and each of its parts is done. Costs a few microseconds a step."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = self._lap = 0.0
        self._milliseconds: dict[str, float] = {}
        self._steps: deque[tuple[float, int]] = deque()  # when each began and the tokens it gave, in the window
        self._tokens = 0  # of these steps

    def begin(self) -> None:
        """A step begins."""
        self._began = self._lap = self._clock()

    def done(self, part: Part) -> None:
        """`part` is done: it took the time since the one before."""
        now = self._clock()
        taken = (now - self._lap) * 1000
        before = self._milliseconds.get(part, taken)
        self._milliseconds[part] = before + _WEIGHT * (taken - before)
        self._lap = now

    def count(self, tokens: int) -> None:
        """The step gave so many tokens."""
        self._steps.append((self._began, tokens))
        self._tokens += tokens
        self._forget(self._lap)

    @property
    def milliseconds(self) -> dict[str, float]:
        """What each part takes, averaged over the last twenty steps or so."""
        return self._milliseconds.copy()

    @property
    def tokens_per_second(self) -> float | None:
        """None if there was no step within the window."""
        now = self._clock()
        self._forget(now)
        return self._tokens / (now - self._steps[0][0]) if self._steps else None

    def _forget(self, now: float) -> None:
        while self._steps and self._steps[0][0] < now - WINDOW:
            self._tokens -= self._steps.popleft()[1]
