from __future__ import annotations

from server.access.tickets import LASTS_S, MAX_EACH, Tickets
from server.caller import Caller
from tests.server.doubles import ManualClock

ANN = Caller("ann", "10.0.0.7", "ann")
BOB = Caller("bob", "10.0.0.8", "bob")


def test_a_ticket_is_good_once_and_for_whoever_asked():
    tickets = Tickets(ManualClock())
    text = tickets.give(ANN)
    assert tickets.take(text) == ANN
    assert tickets.take(text) is None


def test_a_ticket_runs_out():
    clock = ManualClock()
    tickets = Tickets(clock)
    text = tickets.give(ANN)
    clock.advance(LASTS_S)
    assert tickets.take(text) is None
    assert len(tickets) == 0


def test_what_was_never_given_is_none():
    assert Tickets(ManualClock()).take("guessed") is None


def test_whoever_asks_for_too_many_loses_only_their_own_oldest():
    tickets = Tickets(ManualClock())
    bobs = tickets.give(BOB)
    first, *_ = [tickets.give(ANN) for _ in range(MAX_EACH + 1)]
    assert len(tickets) == MAX_EACH + 1
    assert tickets.take(first) is None
    assert tickets.take(bobs) == BOB
