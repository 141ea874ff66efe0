"""The table that is printed after the tests: which calls of which client were made for real, whole and as streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest

Way = Literal["whole", "stream"]
WAYS: tuple[Way, ...] = ("whole", "stream")
SIGNS = {"passed": "yes", "failed": "FAILED", "skipped": "skipped"}


def shows(client: str, call: str, *ways: Way) -> pytest.MarkDecorator:
    """The test that this stands above makes that call of that client's, in these ways."""
    return pytest.mark.shows(client, call, *ways)


@dataclass(slots=True)
class Table:
    """What was made, and how it ended: the worst counts."""

    cells: dict[tuple[str, str, Way], str] = field(default_factory=dict)

    def note(self, item: pytest.Item, outcome: str) -> None:
        """A test has ended."""
        order = list(SIGNS)
        for mark in item.iter_markers("shows"):
            client, call, *ways = mark.args
            for way in ways:
                worst = max(self.cells.get((client, call, way), outcome), outcome, key=order.index)
                self.cells[client, call, way] = worst

    def lines(self) -> Iterator[str]:
        """The rows, by client and call."""
        rows = sorted({(client, call) for client, call, _ in self.cells})
        width = max(len(call) for _, call in rows)
        yield f"{'client':<18} {'call':<{width}}  {'whole':<8} stream"
        for client, call in rows:
            signs = [SIGNS.get(self.cells.get((client, call, way), ""), "-") for way in WAYS]
            yield f"{client:<18} {call:<{width}}  {signs[0]:<8} {signs[1]}"
