"""The numbers of the backends' engines, for those who watch: told when they change, but not more than once a second.

Asks nobody: a backend says when its numbers changed, and they are read then. Knows nothing of sockets, only how many
watch: to thousands they are told less often, so that they never cost more than a hundredth of the loop's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from backends.base import Backend, Stats
from server.clock import Clock, Timer
from server.protocol import EngineFigures, EngineMessage

TELL_EVERY_S = 1.0
SECONDS_A_WATCHER = 0.005  # a frame costs the loop about a hundredth of that


class EngineReport(EngineFigures):
    """All that is known of an engine.

    `computing`: in what form its model computes. `step_ms`: where the time of a step goes, by part, in milliseconds.
    """

    completion_tokens: int
    requests_finished: int
    preemptions: int
    evictions: int
    copies: int
    forks: int
    drafts_proposed: int
    drafts_accepted: int
    computing: str
    step_ms: dict[str, float]


class Meter:
    """Reads the numbers of every backend that has any, and tells the ones that are new through `tell`."""

    def __init__(
        self,
        backends: Sequence[Backend],
        clock: Clock,
        tell: Callable[[EngineMessage], None],
        watchers: Callable[[], int] = lambda: 1,
    ) -> None:
        """`watchers`: how many are told at this moment."""
        self._backends = backends
        self._watchers = watchers
        self._clock = clock
        self._tell = tell
        self._told: dict[str, EngineMessage] = {}  # by backend
        self._next_at = clock.now()
        self._timer: Timer | None = None

    def changed(self) -> None:
        """Some engine's numbers are not what they were: tell them now, or as soon as it is time."""
        if self._timer is not None:
            return
        wait = self._next_at - self._clock.now()
        if wait <= 0:
            self._tell_changed()
        else:
            self._timer = self._clock.call_later(wait, self._due)

    def messages(self) -> list[EngineMessage]:
        """The numbers as they are now, one message an engine."""
        return [EngineMessage.model_validate(known) for known in self._read()]

    def reports(self) -> list[EngineReport]:
        """Everything that is known now, by engine."""
        return [EngineReport.model_validate(known) for known in self._read()]

    def close(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = None
        self._tell_changed()

    def _tell_changed(self) -> None:
        self._next_at = self._clock.now() + max(TELL_EVERY_S, SECONDS_A_WATCHER * self._watchers())
        for message in self.messages():
            if message != self._told.get(message.model):
                self._told[message.model] = message
                self._tell(message)

    def _read(self) -> list[dict[str, object]]:
        read = ((backend.name, backend.stats()) for backend in self._backends)
        return [_known(name, stats) for name, stats in read if stats is not None]


def _known(backend: str, stats: Stats) -> dict[str, object]:
    rate = stats.tokens_per_second
    return {
        **asdict(stats),
        "model": f"{backend}/{stats.model}",
        "blocks_total": stats.blocks_used + stats.blocks_cached + stats.blocks_free,
        "tokens_per_second": None if rate is None else round(rate, 1),
        "step_ms": {part: round(ms, 3) for part, ms in stats.step_ms.items()},
    }
