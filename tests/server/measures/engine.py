"""A backend that tells how full it is, and a hub that has answered with it."""

from __future__ import annotations

from collections import Counter

from backends.base import Done, Stats, Text, Timings, Usage
from backends.echo import EchoBackend
from server.admission import Admission
from server.hub import Hub
from server.limiting.limiter import RateLimiter
from server.measures.exposition import Measured


class Engine(EchoBackend):
    """An echo with the numbers of an engine that is half full."""

    def stats(self) -> Stats:
        return Stats(
            model="echo",
            running=3,
            waiting=2,
            slots=4,
            blocks_used=30,
            blocks_cached=10,
            blocks_free=20,
            prompt_tokens=100,
            cached_tokens=40,
            preemptions=5,
            drafts_proposed=9,
            drafts_accepted=6,
        )


def measured(hub: Hub, statuses: Counter[int] | None = None) -> Measured:
    """What `hub` tells of itself, as part of a server without limits."""
    return Measured(hub, RateLimiter("off"), Admission(), statuses or Counter())


def everything() -> Measured:
    """A server that has a number for each of its measures."""
    hub = Hub([Engine()])
    watch = hub.answer_measures.began()
    watch.answers("echo/echo")
    watch.saw(Text("a"))
    watch.saw(Text("b"))
    watch.saw(Done("stop", Usage(prompt_tokens=1, completion_tokens=2), Timings(queued_ms=1.0)))
    watch.failed("internal")
    watch.ended()
    return measured(hub, Counter({200: 1}))
