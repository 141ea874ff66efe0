"""Tickets for a WebSocket: good once, for half a minute, for whoever asked for one.

A browser gives a WebSocket's handshake no headers of the page's choosing, and a key must not stand in an address, where
logs keep it; a ticket may, since it is worth nothing once it was used. Knows nothing of requests.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from server.caller import Caller
from server.clock import Clock

LASTS_S = 30
MAX_TICKETS = 10_000
MAX_EACH = 100  # that one key holds at a time


@dataclass(slots=True, frozen=True)
class _Ticket:
    caller: Caller
    until: float


class Tickets:
    """The tickets that were given and not used. Kept by their digests, so that a dump of memory opens nothing."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._tickets: dict[str, _Ticket] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def give(self, caller: Caller) -> str:
        """A ticket for `caller`. Of too many that one key holds, the oldest is good no more."""
        self._forget()
        held = [digest for digest, ticket in self._tickets.items() if ticket.caller.key_id == caller.key_id]
        if len(held) >= MAX_EACH:
            del self._tickets[held[0]]
        elif len(self._tickets) >= MAX_TICKETS:
            del self._tickets[next(iter(self._tickets))]
        text = secrets.token_urlsafe(32)
        self._tickets[_digest(text)] = _Ticket(caller, self._clock.now() + LASTS_S)
        return text

    def take(self, text: str) -> Caller | None:
        """Who the ticket was given to; from now on it is good no more."""
        self._forget()
        ticket = self._tickets.pop(_digest(text), None)
        return ticket.caller if ticket is not None else None

    def _forget(self) -> None:
        now = self._clock.now()
        while self._tickets and (oldest := next(iter(self._tickets.items())))[1].until <= now:
            del self._tickets[oldest[0]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
