"""A backend that tells how full it is."""

from __future__ import annotations

from backends.base import Stats
from backends.echo import EchoBackend


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
