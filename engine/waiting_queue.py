"""Those who wait, and whose turn it is: fair to clients, not to requests.

A client is a `fairness_key`. First comes the higher priority, then the client who has fewer answers running, then who
has waited longest since it came or since its last turn. So the fifty requests of one client lie behind each other and
the single one of another beside the first of them, and nobody waits forever: who comes later is later in line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from itertools import count

from engine.sequence import Sequence


class WaitingQueue:
    """Sequences that have no slot."""

    def __init__(self) -> None:
        self._waiting: list[Sequence] = []  # in order of arrival; who had to give way is in front
        self._clock = count()
        self._since: dict[str, int] = {}  # when a client that waits came or had its last turn

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._waiting)

    def add(self, sequence: Sequence) -> None:
        self._since.setdefault(sequence.fairness_key, next(self._clock))
        self._waiting.append(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Let a sequence wait again that had its turn: it comes before those who came after it."""
        self._since.setdefault(sequence.fairness_key, sequence.came)
        self._waiting.insert(0, sequence)

    def take(self, sequence: Sequence) -> None:
        """Give `sequence` its turn."""
        sequence.came = self._since[sequence.fairness_key]
        self._since[sequence.fairness_key] = next(self._clock)
        self.remove(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget one who waits."""
        self._waiting.remove(sequence)
        key = sequence.fairness_key
        if not any(other.fairness_key == key for other in self._waiting):
            del self._since[key]

    def order(self, running: SequenceOf[Sequence]) -> list[Sequence]:
        """Those who wait, the next first, while `running` hold slots."""
        ahead = Counter(sequence.fairness_key for sequence in running)
        ranks: dict[Sequence, tuple[int, int, int]] = {}
        for sequence in sorted(self._waiting, key=lambda one: -one.priority):
            key = sequence.fairness_key
            ranks[sequence] = (-sequence.priority, ahead[key], self._since[key])
            ahead[key] += 1
        return sorted(ranks, key=ranks.__getitem__)
