"""What the engine calls a request: the id it came with, unless another one was called so a moment ago.

Clients choose ids, and some say the same one each time. A step that is under way may still speak of a request that was
given up, and must not be heard by the next of that id.
"""

from __future__ import annotations

import itertools

KEPT = 4096  # names; a request is spoken of for a few steps at most after its end


class Names:
    """Gives each request a name that no other one had lately."""

    def __init__(self) -> None:
        self._lately: dict[str, None] = {}
        self._numbers = itertools.count(2)

    def give(self, wanted: str) -> str:
        """`wanted`, or that with a number behind it."""
        name = wanted
        while name in self._lately:
            name = f"{wanted}~{next(self._numbers)}"
        self._lately[name] = None
        if len(self._lately) > KEPT:
            del self._lately[next(iter(self._lately))]
        return name
