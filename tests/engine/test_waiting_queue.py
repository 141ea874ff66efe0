"""Whose turn it is."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engine.sequence import Sequence
from engine.waiting_queue import WaitingQueue
from tests.engine.sequences import sequence


def waiting(*names: str) -> WaitingQueue:
    """Requests whose first letter is their client."""
    queue = WaitingQueue()
    for name in names:
        queue.add(sequence(name, key=name[0]))
    return queue


def names(sequences: list[Sequence]) -> list[str]:
    return [sequence.request_id for sequence in sequences]


def test_clients_alternate_however_many_requests_each_has() -> None:
    queue = waiting("a1", "a2", "a3", "b1", "c1", "b2")
    assert names(queue.order([])) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_client_whose_answers_run_comes_after_one_who_has_none() -> None:
    queue = waiting("a1", "b1", "c1")
    running = [sequence("a0", key="a"), sequence("c0", key="c"), sequence("c00", key="c")]
    assert names(queue.order(running)) == ["b1", "a1", "c1"]


def test_a_priority_comes_before_a_turn() -> None:
    queue = waiting("a1", "b1")
    queue.add(sequence("a2", key="a", priority=1))
    assert names(queue.order([])) == ["a2", "b1", "a1"]


def test_who_had_a_turn_and_gave_way_comes_before_who_came_later() -> None:
    queue = waiting("a1", "b1")
    first = queue.order([])[0]
    queue.take(first)
    queue.add(sequence("c1", key="c"))
    queue.put_back(first)
    assert names(queue.order([])) == ["a1", "b1", "c1"]


def test_nothing_is_kept_of_clients_who_do_not_wait() -> None:
    queue = waiting("a1", "b1", "a2")
    queue.take(queue.order([])[0])
    for left in list(queue):
        queue.remove(left)
    assert (len(queue), queue._since) == (0, {})


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60))
def test_no_client_is_served_twice_while_another_waits_for_its_first_turn(events: list[tuple[str, bool]]) -> None:
    """Requests come and slots become free, one at a time, in any order."""
    queue, served_since = WaitingQueue(), dict[str, Counter[str]]()
    for number, (client, comes) in enumerate(events):
        if comes:
            queue.add(sequence(f"{client}{number}", key=client))
            served_since.setdefault(client, Counter())
        elif len(queue):
            turn = queue.order([])[0]
            queue.take(turn)
            for served in served_since.values():
                served[turn.fairness_key] += 1
                assert max(served.values()) <= 1, "somebody came twice before this one came once"
            if any(one.fairness_key == turn.fairness_key for one in queue):
                served_since[turn.fairness_key] = Counter()
            else:
                del served_since[turn.fairness_key]
