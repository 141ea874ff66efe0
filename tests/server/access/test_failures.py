from __future__ import annotations

from server.access.failures import ALLOWED, FORGOTTEN_AFTER_S, LONGEST_WAIT_S, Failures
from tests.server.doubles import ManualClock


def fail(failures: Failures, times: int, client: str = "10.0.0.7") -> list[int]:
    return [failures.add(client) for _ in range(times)]


def test_a_few_failures_cost_nothing_and_one_more_makes_wait():
    failures = Failures(ManualClock())
    assert fail(failures, ALLOWED) == [0] * ALLOWED
    assert fail(failures, 1) == [1]


def test_each_failure_after_the_wait_doubles_it_up_to_a_limit():
    clock = ManualClock()
    failures = Failures(clock)
    fail(failures, ALLOWED)
    waits = []
    for _ in range(12):
        waits.append(failures.add("10.0.0.7"))
        clock.advance(waits[-1])
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT_S
    assert waits == sorted(waits)


def test_what_fails_during_the_wait_makes_it_no_longer():
    clock = ManualClock()
    failures = Failures(clock)
    fail(failures, ALLOWED + 1)
    clock.advance(0.5)
    assert fail(failures, 50) == [1] * 50
    clock.advance(0.5)
    assert fail(failures, 1) == [2]


def test_clients_are_counted_apart():
    failures = Failures(ManualClock())
    fail(failures, ALLOWED + 5)
    assert failures.add("10.0.0.8") == 0


def test_failures_are_forgotten_after_a_quiet_while():
    clock = ManualClock()
    failures = Failures(clock)
    fail(failures, ALLOWED + 1)
    clock.advance(FORGOTTEN_AFTER_S + 2)
    assert fail(failures, ALLOWED) == [0] * ALLOWED


def test_however_many_clients_fail_only_so_many_are_remembered_and_the_busy_ones_stay():
    failures = Failures(ManualClock(), most=100)
    fail(failures, ALLOWED, "busy")
    for number in range(1000):
        failures.add(f"10.0.{number // 250}.{number % 250}")
        if number % 50 == 0:
            assert failures.add("busy") >= 1
    assert len(failures) == 100
