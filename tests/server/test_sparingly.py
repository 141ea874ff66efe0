from __future__ import annotations

from server.sparingly import Sparingly
from tests.server.doubles import ManualClock


def test_a_kind_is_let_through_once_a_second_with_how_many_were_not() -> None:
    clock = ManualClock()
    sparingly = Sparingly(clock)
    assert [sparingly.say("a") for _ in range(4)] == [0, None, None, None]
    assert sparingly.say("b") == 0
    clock.advance(1)
    assert [sparingly.say("a"), sparingly.say("a")] == [3, None]
    clock.advance(5)
    assert sparingly.say("a") == 1


def test_it_remembers_no_more_kinds_than_it_may() -> None:
    sparingly = Sparingly(ManualClock(), kinds=10)
    for number in range(1000):
        assert sparingly.say(str(number)) == 0
    assert len(sparingly._said) <= 10
