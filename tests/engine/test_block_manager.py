"""Blocks are shared by those who begin alike, and never written while anybody else reads them."""

from __future__ import annotations

import timeit

from engine.block_manager import BlockManager, BlockTable
from engine.step import BLOCK

TEXT = list(range(10 * BLOCK))


def opened(manager: BlockManager, tokens: list[int]) -> tuple[BlockTable, int]:
    table = BlockTable()
    computed = manager.take(table, tokens, 0)
    assert computed is not None, "there was no room"
    return table, computed


def computed(manager: BlockManager, tokens: list[int]) -> BlockTable:
    """A table whose `tokens` are all computed."""
    table, known = opened(manager, tokens)
    manager.reserve(table, min(known, len(tokens) - 1), len(tokens))
    manager.keep(table, tokens, len(tokens))
    return table


def test_blocks_are_taken_from_the_lowest_and_come_back() -> None:
    manager = BlockManager(4)
    table, known = opened(manager, TEXT[: 2 * BLOCK + 1])
    assert (table.blocks, known) == ([0, 1, 2], 0)
    assert (manager.used, manager.free) == (3, 1)
    manager.release(table)
    assert (manager.used, manager.cached, manager.free) == (0, 0, 4), "what was not computed is not worth keeping"


def test_nothing_is_taken_unless_enough_stays_free() -> None:
    manager = BlockManager(4)
    table = BlockTable()
    assert manager.take(table, TEXT[: 3 * BLOCK], 1) is None
    assert (table.blocks, manager.used) == ([], 0)
    assert manager.take(table, TEXT[: 3 * BLOCK], 0) == 0


def test_a_beginning_that_was_computed_is_found_again() -> None:
    manager = BlockManager(16)
    first = computed(manager, TEXT[: 3 * BLOCK + 5])
    blocks = first.blocks[:3]
    manager.release(first)
    assert (manager.used, manager.cached) == (0, 3)
    second, known = opened(manager, TEXT[: 4 * BLOCK])
    assert (second.blocks[:3], known) == (blocks, 3 * BLOCK)
    assert (manager.counts.queried, manager.counts.hit) == (7 * BLOCK + 5, 3 * BLOCK)


def test_two_who_begin_alike_hold_the_same_blocks() -> None:
    manager = BlockManager(16)
    first = computed(manager, TEXT[: 2 * BLOCK])
    second, _ = opened(manager, [*TEXT[: 2 * BLOCK], 7])
    assert second.blocks[:2] == first.blocks
    assert manager.used == 3
    manager.release(first)
    assert manager.used == 3, "the other still holds them"


def test_what_differs_before_a_block_keeps_it_apart() -> None:
    manager = BlockManager(16)
    computed(manager, TEXT[: 2 * BLOCK])
    _, known = opened(manager, [*[5] * BLOCK, *TEXT[BLOCK : 2 * BLOCK], 1])
    assert known == 0


def test_a_part_of_a_block_is_not_found() -> None:
    manager = BlockManager(16)
    computed(manager, TEXT[: 2 * BLOCK - 1])
    _, known = opened(manager, TEXT[: 3 * BLOCK])
    assert known == BLOCK


def test_the_block_used_longest_ago_goes_first_and_the_end_of_a_text_before_its_beginning() -> None:
    manager = BlockManager(4)
    old, new = TEXT[: 2 * BLOCK], [9] * (2 * BLOCK)
    for tokens in (old, new):
        manager.release(computed(manager, tokens))
    assert (manager.cached, manager.free) == (4, 4)
    table, _ = opened(manager, [3] * BLOCK)
    assert manager.counts.evictions == 1
    manager.release(table)
    assert opened(manager, [*old, 1])[1] == BLOCK
    assert manager.counts.evictions == 2, "its second block, and the beginning of the other text was spared"


def test_using_a_block_again_makes_it_new() -> None:
    manager = BlockManager(3)
    for tokens in ([1] * BLOCK, [2] * BLOCK, [1] * BLOCK):
        manager.release(computed(manager, tokens))
    table, _ = opened(manager, [3] * 2 * BLOCK)
    assert manager.counts.evictions == 1
    manager.release(table)
    assert opened(manager, [1] * BLOCK)[1] == BLOCK
    assert opened(manager, [2] * BLOCK)[1] == 0


def test_writing_into_a_cached_block_gives_a_copy() -> None:
    """A prompt that is cached to its last token computes that token again, for its logits."""
    manager = BlockManager(8)
    first = computed(manager, TEXT[: 2 * BLOCK])
    original = first.blocks[1]
    manager.release(first)
    second, known = opened(manager, TEXT[: 2 * BLOCK])
    assert known == 2 * BLOCK
    assert manager.needed(second, known - 1, known) == 1
    copy = manager.reserve(second, known - 1, known)
    assert copy == (original, second.blocks[1])
    assert original != second.blocks[1]
    assert manager.counts.copies == 1
    manager.keep(second, TEXT[: 2 * BLOCK], 2 * BLOCK)
    assert second.blocks[1] == original, "what was computed again is the same, so the copy is given back"
    assert manager.used == 2


def test_a_fork_shares_all_blocks_until_one_of_both_writes() -> None:
    manager = BlockManager(8)
    size = BLOCK + 3
    source = computed(manager, TEXT[:size])
    fork = BlockTable()
    assert manager.fork(fork, source, size, 0)
    assert fork.blocks == source.blocks
    assert (manager.used, manager.counts.forks) == (2, 1)
    assert manager.reserve(source, size, size + 1) == (fork.blocks[1], source.blocks[1])
    assert fork.blocks[0] == source.blocks[0]
    assert manager.needed(fork, size, size + 1) == 0, "it is the only reader now"
    assert manager.reserve(fork, size, size + 1) is None
    assert (manager.used, manager.counts.copies) == (3, 1)


def test_a_fork_takes_no_more_than_what_both_have() -> None:
    manager = BlockManager(8)
    source = computed(manager, TEXT[: 3 * BLOCK])
    fork = BlockTable()
    assert manager.fork(fork, source, BLOCK + 1, 0)
    assert fork.blocks == source.blocks[:2]


def test_what_two_computed_at_the_same_time_is_kept_once() -> None:
    manager = BlockManager(8)
    tokens = TEXT[: 2 * BLOCK + 1]
    first, second = opened(manager, tokens)[0], opened(manager, tokens)[0]
    manager.keep(first, tokens, 2 * BLOCK)
    manager.keep(second, tokens, 2 * BLOCK)
    assert second.blocks[:2] == first.blocks[:2]
    assert manager.used == 4


def test_who_reads_the_same_prompt_later_catches_up() -> None:
    manager = BlockManager(8)
    tokens = TEXT[: 2 * BLOCK]
    first, second = opened(manager, tokens)[0], opened(manager, tokens)[0]
    assert manager.catch_up(second, tokens, 0) == 0
    manager.keep(first, tokens, 2 * BLOCK)
    assert manager.catch_up(second, tokens, 0) == BLOCK, "the last token is to be computed, and so its block"
    assert second.blocks[0] == first.blocks[0]
    assert manager.used == 3


def test_looking_for_a_long_prompt_takes_less_than_a_millisecond() -> None:
    manager = BlockManager(1024)
    tokens = [token * 31 % 49_152 for token in range(2000)]
    manager.release(computed(manager, tokens))

    def look() -> None:
        manager.release(opened(manager, tokens)[0])

    assert min(timeit.repeat(look, number=5, repeat=5)) / 5 < 1e-3
