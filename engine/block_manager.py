"""Which blocks of the cache belong to whom: counted references, blocks shared by prefix, and what is given up first.

A block that holds `BLOCK` computed tokens is kept under the hash of these tokens and of all before them, so whoever
begins with the same tokens reads it instead of computing it again: the next turn of a conversation, a regenerated
answer, another client with the same system prompt. When nobody holds such a block any more it stays until its memory
is needed; the one that was used longest ago goes first. A block that is kept or held by several is never written:
whoever has to write there gets a copy.

The hash is BLAKE2b of 256 bits over the hash before and the tokens, so two different beginnings never meet.
Pure bookkeeping: knows nothing of tensors, requests or scheduling.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from engine.step import BLOCK, blocks_for

Copy = tuple[int, int]  # (from, to): blocks


@dataclass(slots=True, eq=False)
class BlockTable:
    """The blocks of one sequence in order; the first `kept` of them are in the prefix cache.

    `hashes` are those of the sequence's leading whole blocks, as far as they were needed. They depend on its tokens
    alone and outlive its blocks.
    """

    blocks: list[int] = field(default_factory=list)
    kept: int = 0
    hashes: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class BlockCounts:
    """What happened since the blocks were made. `queried` and `hit` are tokens that were looked for and found."""

    queried: int = 0
    hit: int = 0
    evictions: int = 0
    copies: int = 0
    forks: int = 0


class BlockManager:
    """Hands out the blocks `0 .. blocks - 1` and takes them back."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.counts = BlockCounts()
        self._references = [0] * blocks
        self._blank = list(range(blocks))[::-1]  # hold nothing; the lowest are taken first
        self._idle: OrderedDict[int, None] = OrderedDict()  # kept, held by nobody; used longest ago first
        self._by_hash: dict[bytes, int] = {}
        self._hashes: dict[int, bytes] = {}  # of the blocks that are kept

    @property
    def free(self) -> int:
        """Blocks that can be handed out, those that are cached among them."""
        return len(self._blank) + len(self._idle)

    @property
    def used(self) -> int:
        """Blocks that somebody holds."""
        return self.blocks - self.free

    @property
    def cached(self) -> int:
        """Blocks that nobody holds and whose contents can still be read."""
        return len(self._idle)

    def take(self, table: BlockTable, tokens: Sequence[int], headroom: int) -> int | None:
        """Give the empty `table` blocks for all `tokens`, cached ones as far as there are.

        Returns how many positions are computed already. None, and nothing is done, unless more than `headroom` blocks
        stay free.
        """
        found = self._find(table, tokens)
        if not self._begin(table, found, len(found), len(tokens), headroom):
            return None
        self.counts.queried += len(tokens)
        self.counts.hit += len(found) * BLOCK
        return len(found) * BLOCK

    def fork(self, table: BlockTable, source: BlockTable, size: int, headroom: int) -> bool:
        """Let the empty `table` hold the first `size` positions of `source`, which has computed them.

        The last of the blocks may be a part of one: who writes there first gets a copy. False, and nothing is done,
        unless more than `headroom` blocks stay free.
        """
        shared, kept = source.blocks[: blocks_for(size)], size // BLOCK
        table.hashes = source.hashes[:kept]
        if not self._begin(table, shared, kept, size, headroom):
            return False
        self.counts.forks += 1
        return True

    def catch_up(self, table: BlockTable, tokens: Sequence[int], computed: int) -> int:
        """Exchange the next blocks of `table` for cached ones with the same contents: somebody else was faster.

        At least one of `tokens` stays to be computed. Returns how many positions are computed now.
        """
        while computed % BLOCK == 0 and computed + BLOCK < len(tokens):
            index = computed // BLOCK
            block = self._by_hash.get(self._hash(table, tokens, index))
            if block is None:
                break
            self._exchange(table, index, block)
            table.kept = index + 1
            computed += BLOCK
            self.counts.hit += BLOCK
        return computed

    def needed(self, table: BlockTable, start: int, stop: int) -> int:
        """How many blocks it takes to write the positions from `start` to `stop`."""
        missing = max(0, blocks_for(stop) - len(table.blocks))
        return missing + (1 if self._is_shared(table, start // BLOCK) else 0)

    def reserve(self, table: BlockTable, start: int, stop: int) -> Copy | None:
        """Make the positions from `start` to `stop` of `table` its own to write; `needed` blocks must be free.

        Returns what has to be copied before anything is written.
        """
        copy = self._own(table, start // BLOCK) if self._is_shared(table, start // BLOCK) else None
        while len(table.blocks) < blocks_for(stop):
            table.blocks.append(self._allocate())
        return copy

    def keep(self, table: BlockTable, tokens: Sequence[int], computed: int) -> None:
        """Remember the whole blocks among the `computed` first of `tokens`.

        Where a block with the same contents is kept already, `table` goes on with that one.
        """
        for index in range(table.kept, computed // BLOCK):
            key, block = self._hash(table, tokens, index), table.blocks[index]
            same = self._by_hash.setdefault(key, block)
            if same == block:
                self._hashes[block] = key
            else:
                self._exchange(table, index, same)
            table.kept = index + 1

    def release(self, table: BlockTable) -> None:
        """Take the blocks of `table` back. Of those that stay cached, the last ones will be given up first."""
        for block in reversed(table.blocks):
            self._let_go(block)
        table.blocks = []
        table.kept = 0

    def _find(self, table: BlockTable, tokens: Sequence[int]) -> list[int]:
        found: list[int] = []
        for index in range(len(tokens) // BLOCK):
            block = self._by_hash.get(self._hash(table, tokens, index))
            if block is None:
                break
            found.append(block)
        return found

    def _begin(self, table: BlockTable, shared: Sequence[int], kept: int, size: int, headroom: int) -> bool:
        missing = blocks_for(size) - len(shared)
        idle = sum(not self._references[block] for block in shared)
        if self.free - idle - missing <= headroom:
            return False
        for block in shared:
            self._hold(block)
        table.blocks = [*shared, *(self._allocate() for _ in range(missing))]
        table.kept = kept
        return True

    def _exchange(self, table: BlockTable, index: int, block: int) -> None:
        self._hold(block)
        self._let_go(table.blocks[index])
        table.blocks[index] = block

    def _hash(self, table: BlockTable, tokens: Sequence[int], index: int) -> bytes:
        hashes = table.hashes
        while len(hashes) <= index:
            start = len(hashes) * BLOCK
            content = array("q", tokens[start : start + BLOCK]).tobytes()
            before = hashes[-1] if hashes else b""
            hashes.append(blake2b(before + content, digest_size=32).digest())
        return hashes[index]

    def _is_shared(self, table: BlockTable, index: int) -> bool:
        if index >= len(table.blocks):
            return False
        block = table.blocks[index]
        return self._references[block] > 1 or block in self._hashes

    def _own(self, table: BlockTable, index: int) -> Copy:
        """Put a block of its own into `table` at `index`. It is taken first: the copy needs both."""
        copy = (table.blocks[index], self._allocate())
        self._let_go(copy[0])
        table.blocks[index] = copy[1]
        table.kept = min(table.kept, index)
        self.counts.copies += 1
        return copy

    def _allocate(self) -> int:
        if self._blank:
            block = self._blank.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            del self._by_hash[self._hashes.pop(block)]
            self.counts.evictions += 1
        self._references[block] = 1
        return block

    def _hold(self, block: int) -> None:
        if not self._references[block]:
            del self._idle[block]
        self._references[block] += 1

    def _let_go(self, block: int) -> None:
        self._references[block] -= 1
        if self._references[block]:
            return
        if block in self._hashes:
            self._idle[block] = None
        else:
            self._blank.append(block)
