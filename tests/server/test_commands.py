from __future__ import annotations

from server.commands import REMEMBERED_COMMANDS, REMEMBERED_S, Receipts
from server.protocol import Ack
from tests.server.doubles import ManualClock


def test_a_command_is_remembered_for_its_time_and_its_answer_says_that_it_was_done_before():
    clock = ManualClock()
    receipts = Receipts(clock)
    receipts.keep(Ack(cmd_id="c", id="m", seq=3))
    clock.advance(REMEMBERED_S - 1)
    assert receipts.find("c") == Ack(cmd_id="c", id="m", seq=3, duplicate=True)
    clock.advance(2)
    assert receipts.find("c") is None


def test_a_command_without_an_id_is_never_remembered():
    assert Receipts(ManualClock()).find(None) is None


def test_the_memory_is_bounded():
    receipts = Receipts(ManualClock())
    for number in range(REMEMBERED_COMMANDS + 10):
        receipts.keep(Ack(cmd_id=str(number)))
    assert receipts.find("9") is None
    assert receipts.find("10") is not None
