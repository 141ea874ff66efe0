"""Who runs next, and with how many tokens."""

from __future__ import annotations

import pytest
import torch

from engine.detokenizer import StopChecker, StreamDecoder
from engine.errors import QueueFull
from engine.kv_cache import BLOCK, TensorKVCache
from engine.sampling_params import SamplingParams
from engine.scheduler import Scheduler
from engine.sequence import Sequence


def scheduler(*, blocks: int = 64, batch: int = 2, queue: int = 100, budget: int = 64) -> Scheduler:
    return Scheduler(TensorKVCache(1, 1, 4, blocks, torch.float32, torch.device("cpu")), batch, queue, budget)


def sequence(name: str, size: int = 4, *, key: str = "", priority: int = 0) -> Sequence:
    decoder = StreamDecoder(lambda token: b"")
    return Sequence(name, [0] * size, size, 10_000, SamplingParams(), 0, decoder, StopChecker(()), key, priority)


def step(one: Scheduler) -> dict[str, int]:
    """Schedule, and take what was scheduled as computed and sampled."""
    chunks = one.schedule()
    counts = {chunk.sequence.request_id: chunk.count for chunk in chunks}
    for chunk in chunks:
        complete = chunk.completes
        chunk.sequence.computed += chunk.count
        if complete:
            chunk.sequence.tokens.append(0)
    return counts


def order(one: Scheduler) -> list[str]:
    return [waiting.request_id for waiting in one.queue_order()]


def test_a_prompt_is_read_in_chunks_of_the_budget() -> None:
    one = scheduler(budget=10)
    one.add(sequence("long", 25))
    assert [step(one) for _ in range(4)] == [{"long": 10}, {"long": 10}, {"long": 5}, {"long": 1}]


def test_those_who_decode_come_before_prompts() -> None:
    one = scheduler(budget=10)
    one.add(sequence("long", 25))
    one.add(sequence("short", 2))
    assert step(one) == {"long": 10}
    one.running.append(sequence("decodes", 1))
    assert step(one) == {"decodes": 1, "long": 9}


def test_no_more_run_than_may() -> None:
    one = scheduler(batch=2)
    for name in "abc":
        one.add(sequence(name))
    assert set(step(one)) == {"a", "b"}
    one.remove(one.running[0])
    assert set(step(one)) == {"b", "c"}


def test_a_client_with_many_requests_does_not_hold_up_another() -> None:
    one = scheduler(batch=1)
    for number in range(50):
        one.add(sequence(f"many{number}", key="many"))
    step(one)
    one.add(sequence("single", key="single"))
    assert order(one)[:2] == ["single", "many1"]
    one.remove(one.running[0])
    assert set(step(one)) == {"single"}


def test_clients_take_turns() -> None:
    one = scheduler(batch=1)
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        one.add(sequence(name, key=name[0]))
    turns = []
    while one.waiting:
        turns += step(one)
        one.remove(one.running[0])
    assert turns == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_higher_priority_goes_first() -> None:
    one = scheduler(batch=1)
    for name, priority in (("low", -1), ("plain", 0), ("high", 5)):
        one.add(sequence(name, priority=priority))
    assert order(one) == ["high", "plain", "low"]


def test_a_full_queue_refuses() -> None:
    one = scheduler(batch=1, queue=1)
    one.add(sequence("runs"))
    one.add(sequence("waits"))
    with pytest.raises(QueueFull, match="Try again"):
        one.add(sequence("late"))


def test_who_came_last_gives_way_when_the_cache_is_full() -> None:
    one = scheduler(blocks=2)
    one.add(sequence("first", BLOCK))
    one.add(sequence("second", 4))
    one._max_tokens = 2 * BLOCK
    assert step(one) == {"first": BLOCK, "second": 4}
    assert step(one) == {"first": 1}
    assert one.preemptions == 1
    second = one.waiting[0]
    assert (second.computed, second.blocks, len(second.tokens)) == (0, [], 5)
    one.remove(one.running[0])
    assert step(one) == {"second": 5}


def test_blocks_come_back_and_the_lowest_is_taken_first() -> None:
    cache = TensorKVCache(1, 1, 4, 3, torch.float32, torch.device("cpu"))
    assert [cache.allocate() for _ in range(3)] == [0, 1, 2]
    cache.free(1)
    cache.free(0)
    assert cache.free_blocks == 2
    assert cache.allocate() == 0
