"""Who runs next, and with how many tokens."""

from __future__ import annotations

import time
import timeit

import pytest

from engine.block_manager import BlockManager
from engine.config import EngineConfig
from engine.errors import QueueFull
from engine.scheduler import Scheduler
from engine.step import BLOCK
from tests.engine.sequences import sequence


def scheduler(
    *, blocks: int = 1024, batch: int = 2, queue: int = 100, budget: int = 64, beside: int = 1000
) -> Scheduler:
    config = EngineConfig(
        max_batch_size=batch, max_queue_size=queue, max_tokens_per_step=budget, max_prefill_while_decoding=beside
    )
    return Scheduler(BlockManager(blocks), config)


def step(one: Scheduler) -> dict[str, int]:
    """Schedule, and take what was scheduled as computed and sampled."""
    chunks = one.schedule()
    counts = {chunk.sequence.request_id: chunk.count for chunk in chunks}
    for chunk in chunks:
        if chunk.completes:
            chunk.sequence.tokens.append(0)
        one.commit(chunk)
    return counts


def order(one: Scheduler) -> list[str]:
    return [waiting.request_id for waiting in one.queue_order()]


def running(one: Scheduler) -> list[str]:
    return [sequence.request_id for sequence in one.running]


# One budget for all


def test_a_prompt_is_read_in_chunks_of_the_budget() -> None:
    one = scheduler(budget=10)
    one.add(sequence("long", 25))
    assert [step(one) for _ in range(4)] == [{"long": 10}, {"long": 10}, {"long": 5}, {"long": 1}]


def test_those_who_decode_come_before_prompts() -> None:
    one = scheduler(budget=10)
    one.add(sequence("decodes", 2))
    step(one)
    one.add(sequence("long", 25))
    assert step(one) == {"decodes": 1, "long": 9}


def test_while_answers_stream_less_of_a_prompt_is_read_in_a_step() -> None:
    one = scheduler(budget=100, beside=8)
    one.add(sequence("decodes", 2))
    step(one)
    one.add(sequence("long", 300))
    assert step(one) == {"decodes": 1, "long": 8}
    one.remove(one.running[0])
    assert step(one) == {"long": 100}


def test_eight_answers_get_a_token_in_every_step_while_a_long_prompt_is_read() -> None:
    """Steps of 72 tokens at most, instead of one of 6,000."""
    one = scheduler(batch=9, budget=256, beside=64)
    for number in range(8):
        one.add(sequence(str(number)))
    step(one)
    one.add(sequence("long", 6000))
    steps = 0
    while one.running[-1].remaining > 1 or not steps:
        counts = step(one)
        assert [counts[str(number)] for number in range(8)] == [1] * 8
        assert sum(counts.values()) <= 72
        steps += 1
    assert steps == 94


def test_a_budget_smaller_than_the_batch_holds_nobody_up() -> None:
    one = scheduler(batch=4, budget=2)
    for name in "abc":
        one.add(sequence(name, 1))
    while len(step(one)) < 3:
        pass
    one.add(sequence("reads", 3))
    assert step(one) == {"a": 1, "b": 1, "c": 1, "reads": 1}


def test_a_long_prompt_shares_the_budget_with_a_short_one_that_comes_later() -> None:
    one = scheduler(batch=3, budget=64)
    one.add(sequence("long", 6000))
    step(one)
    one.add(sequence("short", 40))
    assert step(one) == {"long": 32, "short": 32}
    assert step(one) == {"long": 56, "short": 8}, "what the short one leaves is not lost"


def test_a_long_prompt_gets_on_at_half_speed_whatever_comes_after_it() -> None:
    one = scheduler(batch=100, budget=64)
    one.add(sequence("long", 640))
    for number in range(19):
        one.add(sequence(str(number), 60))
        counts = step(one)
        decoding = sum(count == 1 for count in counts.values())
        assert counts["long"] >= (64 - decoding) // 2


# Slots and the queue


def test_no_more_run_than_may() -> None:
    one = scheduler(batch=2)
    for name in "abc":
        one.add(sequence(name))
    assert set(step(one)) == {"a", "b"}
    one.remove(one.running[0])
    assert set(step(one)) == {"b", "c"}


def test_one_is_admitted_only_if_more_blocks_are_free_than_it_needs() -> None:
    one = scheduler(blocks=8, batch=9, budget=1000)
    one.add(sequence("first", 3 * BLOCK))
    one.add(sequence("second", 4 * BLOCK))
    one.add(sequence("third", 1))
    assert step(one) == {"first": 3 * BLOCK}, "one of the five free blocks is left to the first"
    assert order(one) == ["second", "third"], "nobody overtakes for being small"
    one.remove(one.running[0])
    assert set(step(one)) == {"second", "third"}


def test_one_that_runs_alone_may_take_all_blocks() -> None:
    one = scheduler(blocks=3, budget=1000)
    one.add(sequence("whole", 3 * BLOCK))
    assert step(one) == {"whole": 3 * BLOCK}


def test_a_full_queue_refuses() -> None:
    one = scheduler(batch=1, queue=1)
    one.add(sequence("runs"))
    one.add(sequence("waits"))
    with pytest.raises(QueueFull, match="Try again"):
        one.add(sequence("late"))


# Fairness and priorities


def test_a_client_with_many_requests_holds_up_another_for_one_step() -> None:
    """Whatever runs and however long it goes on."""
    one = scheduler(batch=16, budget=256)
    for number in range(50):
        one.add(sequence(f"many{number}", key="many"))
    for _ in range(3):
        step(one)
    assert len(one.running) == 16
    one.add(sequence("single", key="single"))
    assert step(one)["single"] == 4
    assert order(one)[0] == "many15", "who gave way is the next of its client"
    assert one.preemptions == 1


def test_clients_come_to_have_equally_many_slots() -> None:
    one = scheduler(batch=16, budget=256)
    for key, requests in (("a", 50), ("b", 30), ("c", 3)):
        for number in range(requests):
            one.add(sequence(f"{key}{number}", key=key))
        step(one)
    shares = [sum(name[0] == key for name in running(one)) for key in "abc"]
    assert shares == [6, 7, 3]
    preemptions = one.preemptions
    for _ in range(20):
        step(one)
    assert one.preemptions == preemptions, "they push each other out no more"


def test_clients_take_turns() -> None:
    one = scheduler(batch=1)
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        one.add(sequence(name, key=name[0]))
    turns = []
    while one.waiting:
        turns += step(one)
        one.remove(one.running[0])
    assert turns == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_nobody_waits_forever_while_new_clients_come() -> None:
    one = scheduler(batch=1)
    for name in ("a1", "a2", "a3"):
        one.add(sequence(name, key="a"))
    turns = []
    for number in range(12):
        one.add(sequence(f"new{number}", key=f"new{number}"))
        turns += step(one)
        one.remove(one.running[0])
    assert [turns.index(name) for name in ("a1", "a2", "a3")] == [0, 2, 5]


def test_a_higher_priority_goes_first() -> None:
    one = scheduler(batch=1)
    for name, priority in (("low", -1), ("plain", 0), ("high", 5)):
        one.add(sequence(name, priority=priority))
    assert order(one) == ["high", "plain", "low"]


def test_background_work_gives_its_slot_to_a_waiting_answer() -> None:
    one = scheduler(batch=2)
    for name in ("old", "new"):
        one.add(sequence(name, priority=-1))
    step(one)
    one.add(sequence("answer"))
    assert set(step(one)) == {"old", "answer"}
    assert (order(one), one.preemptions) == (["new"], 1)


# When blocks run out


def test_who_came_last_gives_way() -> None:
    one = scheduler(blocks=5, budget=1000)
    one.add(sequence("first", 2 * BLOCK))
    one.add(sequence("second", BLOCK - 1))
    step(one)
    for _ in range(BLOCK):
        assert set(step(one)) == {"first", "second"}
    assert set(step(one)) == {"first"}
    assert (order(one), one.preemptions) == (["second"], 1)
    waiting = one.queue_order()[0]
    assert (waiting.computed, waiting.table.blocks) == (0, [])
    one.remove(one.running[0])
    assert step(one)["second"] < len(waiting.tokens), "its blocks were still cached in part"


def test_background_work_gives_way_before_who_came_last() -> None:
    one = scheduler(blocks=4, batch=3, budget=1000)
    one.add(sequence("background", BLOCK, priority=-1))
    step(one)
    one.add(sequence("answer", BLOCK))
    step(one)
    for _ in range(2 * BLOCK):
        step(one)
    assert (running(one), one.preemptions) == (["answer"], 1)


def test_what_goes_leaves_nothing_behind() -> None:
    one = scheduler(batch=3)
    for name in "abcd":
        one.add(sequence(name, 40))
    step(one)
    for gone in [*one.running, *one.waiting]:
        one.remove(gone)
    assert (one.blocks.used, len(one.running), len(one.waiting)) == (0, 0, 0)


# Blocks that are computed already


def test_a_prompt_that_was_read_before_costs_one_token() -> None:
    one = scheduler(budget=1000)
    tokens = list(range(500, 500 + 3 * BLOCK))
    one.add(sequence("first", tokens=tokens))
    step(one)
    one.remove(one.running[0])
    second = sequence("second", tokens=tokens)
    one.add(second)
    [chunk] = one.schedule()
    assert (chunk.count, chunk.completes, second.cached) == (1, True, 3 * BLOCK - 1)
    assert chunk.copy is not None, "the cached block is not written"


def test_the_next_turn_of_a_conversation_reads_only_what_is_new() -> None:
    one = scheduler(budget=1000)
    first = sequence("first", 2 * BLOCK + 3)
    one.add(first)
    for _ in range(BLOCK):
        step(one)
    one.remove(first)
    one.add(sequence("second", tokens=[*first.tokens, *[7] * 5]))
    assert step(one) == {"second": 5 + len(first.tokens) - 3 * BLOCK}


def test_the_same_prompt_from_many_at_once_is_read_once() -> None:
    one = scheduler(batch=8, budget=2 * BLOCK)
    tokens = list(range(900, 900 + 10 * BLOCK))
    for number in range(8):
        one.add(sequence(str(number), tokens=tokens))
    steps, computed = 0, 0
    while any(one.remaining > 1 or not one.computed for one in [*one.running, *one.waiting]) or not steps:
        computed += sum(step(one).values())
        steps += 1
    assert computed < 3 * len(tokens)


def test_a_step_of_sixteen_answers_costs_the_scheduler_next_to_nothing() -> None:
    one = scheduler(batch=16, budget=2048, queue=256)
    for number in range(16):
        one.add(sequence(str(number), 100, key=str(number)))
    for number in range(200):
        one.add(sequence(f"waits{number}", 100, key=f"waits{number}"))
    step(one)
    assert len(step(one)) == 16
    assert min(timeit.repeat(lambda: step(one), timer=time.thread_time, number=10, repeat=5)) / 10 < 0.3e-3
