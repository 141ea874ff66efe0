"""Who showed wrong keys too often, and how long they are to wait. Knows nothing of keys or requests.

A client may fail a few times; after that each further failure makes it wait twice as long as the one before. Only those
who fail wait: a key that is right is always let in, or one program with a wrong key would lock out everybody behind the
same proxy, and 256 random bits are not found by trying, with or without a pause.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from server.clock import Clock

ALLOWED = 20
FORGOTTEN_AFTER_S = 900.0  # without another failure
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 900.0
MAX_CLIENTS = 10_000


@dataclass(slots=True)
class _Record:
    count: int = 0
    at: float = 0.0  # of the last failure
    until: float = 0.0  # wait


class Failures:
    """The failures of each client, by its address. Of the clients beyond `most` the longest quiet are forgotten."""

    def __init__(self, clock: Clock, most: int = MAX_CLIENTS) -> None:
        self._clock = clock
        self._most = most
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, client: str) -> int:
        """Another failure. Gives the seconds to wait, 0 while it is one of the few.

        What fails during the wait is not counted: it was told to wait, and nothing else.
        """
        now = self._clock.now()
        record = self._records.pop(client, None)
        if record is None or now - max(record.at, record.until) > FORGOTTEN_AFTER_S:
            record = _Record()
        self._records[client] = record
        if len(self._records) > self._most:
            self._records.popitem(last=False)
        if now >= record.until:
            record.count += 1
            record.at = now
            if record.count > ALLOWED:
                record.until = now + min(FIRST_WAIT_S * 2 ** (record.count - ALLOWED - 1), LONGEST_WAIT_S)
        return math.ceil(max(0.0, record.until - now))
