"""What would be said too often is said once in a while, with how often it happened. Knows nothing of what it is."""

from __future__ import annotations

from server.clock import Clock


class Sparingly:
    """Lets one of each kind through in `every_s` seconds. `kinds` bounds what it remembers."""

    def __init__(self, clock: Clock, every_s: float = 1.0, kinds: int = 100) -> None:
        self._clock = clock
        self._every_s = every_s
        self._kinds = kinds
        self._said: dict[str, float] = {}  # when each kind was let through
        self._kept: dict[str, int] = {}  # how many were held back since

    def say(self, kind: str) -> int | None:
        """None: keep quiet. A number: say it, and that it happened this many times more since it was last said."""
        now = self._clock.now()
        said = self._said.get(kind)
        if said is not None and now - said < self._every_s:
            self._kept[kind] = self._kept.get(kind, 0) + 1
            return None
        if said is None and len(self._said) >= self._kinds:
            self._said.clear()
            self._kept.clear()
        self._said[kind] = now
        return self._kept.pop(kind, 0)
