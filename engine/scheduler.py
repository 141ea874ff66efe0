"""Which sequences take part in the next step, and with how many tokens.

There are no phases: a sequence has tokens and computed tokens, and every step lets the second catch up with the first.
Prefill, prefill in chunks, decoding and computing again after a preemption are that one rule. What bounds a step:

- Whoever decodes gets its token in every step, and guesses of the next ones while there is room.
- The rest of the budget goes to prompts, less of it while answers stream, so that these pause for a short time only.
  Half goes to the prompt that came first, half to the one with the least left: a long prompt holds up a short one for
  one step, and gets on at half speed at least, whatever comes after it.
- A waiting sequence is admitted when there is a slot and more blocks are free than it needs. It needs blocks for all
  its tokens, and one is left to everyone who runs already.
- Who came last among those of the lowest priority gives way when blocks run out. A waiting sequence makes another one
  give way that has a lower priority, or whose client runs at least two more than its own does. What gave way waits,
  and is computed again as far as its blocks are not cached any more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from engine.block_manager import BlockManager, Copy
from engine.config import EngineConfig
from engine.errors import QueueFull
from engine.sequence import Sequence
from engine.waiting_queue import WaitingQueue


@dataclass(slots=True, frozen=True)
class Chunk:
    """The next `count` tokens of a sequence to compute, and `drafts`: guesses of those after them.

    `copy` is a block to copy before that.
    """

    sequence: Sequence
    count: int
    drafts: tuple[int, ...] = ()
    copy: Copy | None = None

    @property
    def completes(self) -> bool:
        """Whether the sequence's next token can be sampled after this."""
        return self.count == self.sequence.remaining

    @property
    def wanted(self) -> int:
        """How many of its last rows are sampled from: one, and one after each draft."""
        return 1 + len(self.drafts) if self.completes else 0


class Proposer(Protocol):
    """Guesses how answers go on. A wrong guess costs time and changes nothing."""

    def begin_step(self, rows: int) -> None:
        """A step begins in which `rows` sequences get one token each."""
        ...

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        """At most `room` tokens that may follow those of `sequence`."""
        ...


Chunks = dict[Sequence, Chunk]


class Scheduler:
    """Holds the sequences that run and those that wait, and their blocks."""

    def __init__(self, blocks: BlockManager, config: EngineConfig, proposer: Proposer | None = None) -> None:
        self.blocks = blocks
        self.running: list[Sequence] = []  # the longest running first
        self.waiting = WaitingQueue()
        self.preemptions = 0
        self._config = config
        self._proposer = proposer
        self._order: list[Sequence] | None = None

    def add(self, sequence: Sequence) -> None:
        """Let `sequence` wait for its turn. Raises QueueFull."""
        free_slots = max(0, self._config.max_batch_size - len(self.running))
        if len(self.waiting) >= self._config.max_queue_size + free_slots:
            raise QueueFull(f"{len(self.waiting)} requests are waiting already. Try again in a moment.")
        self.waiting.add(sequence)
        self._order = None

    def remove(self, sequence: Sequence) -> None:
        """Forget `sequence`, whether it runs or waits or has yet to begin, and take its blocks back."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._release(sequence)

    def queue_order(self) -> list[Sequence]:
        """Those who wait, the next first."""
        if self._order is None:
            self._order = self.waiting.order(self.running)
        return self._order

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step, the blocks for them at hand."""
        self._admit()
        chunks: Chunks = {}
        self._decode([sequence for sequence in self.running if sequence.remaining == 1], chunks)
        self._read([sequence for sequence in self.running if sequence.remaining > 1], chunks)
        return list(chunks.values())

    def commit(self, chunk: Chunk, accepted: int = 0) -> None:
        """`chunk` has been computed, and the first `accepted` of its drafts are among the sequence's tokens now."""
        sequence = chunk.sequence
        sequence.computed += chunk.count + accepted
        self.blocks.keep(sequence.table, sequence.tokens, sequence.computed)
        if sequence.forks and sequence.computed >= sequence.prompt_tokens:
            for fork in sequence.forks:
                self.waiting.add(fork)
            sequence.forks.clear()
            self._order = None

    def restart(self, blocks: BlockManager) -> None:
        """Go on with other blocks, in which nothing is computed."""
        for sequence in reversed(self.running.copy()):
            self._preempt(sequence)
        blocks.counts = self.blocks.counts
        self.blocks = blocks

    def _admit(self) -> None:
        while self.waiting:
            sequence = self.queue_order()[0]
            while not self._start(sequence):
                victim = self._gives_way_to(sequence)
                if victim is None:
                    return
                self._preempt(victim)
            self.waiting.take(sequence)
            self.running.append(sequence)
            self._order = None

    def _start(self, sequence: Sequence) -> bool:
        """Give `sequence` its blocks if it can run now."""
        if len(self.running) >= self._config.max_batch_size:
            return False
        headroom = len(self.running) or -1  # one that runs alone may have all
        source, size = sequence.source, sequence.prompt_tokens
        done: int | None
        if sequence.cached is None and source is not None and source.computed >= size:
            done = size if self.blocks.fork(sequence.table, source.table, size, headroom) else None
        else:
            done = self.blocks.take(sequence.table, sequence.tokens, headroom)
        if done is None:
            return False
        sequence.computed = min(done, len(sequence.tokens) - 1)  # the last one is computed again for its logits
        if sequence.cached is None:
            sequence.cached = min(sequence.computed, sequence.prompt_tokens)
        return True

    def _gives_way_to(self, sequence: Sequence) -> Sequence | None:
        """Who is to stop running so that the waiting `sequence` can run."""
        last = self._last_of_lowest_priority()
        if last is None or last.priority < sequence.priority:
            return last
        equals = [one for one in self.running if one.priority == sequence.priority]
        shares = Counter(one.fairness_key for one in self.running)
        greedy = max(equals, key=lambda one: shares[one.fairness_key], default=None)
        if greedy is None or shares[greedy.fairness_key] < shares[sequence.fairness_key] + 2:
            return None
        return next(one for one in reversed(equals) if one.fairness_key == greedy.fairness_key)

    def _decode(self, decoding: list[Sequence], chunks: Chunks) -> None:
        if self._proposer is not None:
            self._proposer.begin_step(len(decoding))
        room = self._config.max_tokens_per_step - len(decoding)
        for sequence in decoding:
            if not sequence.table.blocks:  # preempted in this very step
                continue
            if self._make_room(sequence, sequence.computed + 1, chunks):
                drafts = self._drafts(sequence, room)
                self._take(sequence, 1, chunks, drafts)
                room -= len(drafts)

    def _drafts(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        room = min(room, sequence.length_limit - len(sequence.tokens) - 1)
        if self._proposer is None or room <= 0:
            return ()
        drafts = self._proposer.propose(sequence, room)
        if drafts and sequence.guide is not None:
            drafts = drafts[: sequence.guide.allowed(drafts)]
        stop = sequence.computed + 1 + len(drafts)
        return drafts if self.blocks.needed(sequence.table, sequence.computed, stop) <= self.blocks.free else ()

    def _read(self, reading: list[Sequence], chunks: Chunks) -> None:
        for sequence in reading:
            self._catch_up(sequence)
        limit = self._config.max_tokens_per_step
        if chunks:
            taken = sum(1 + len(chunk.drafts) for chunk in chunks.values())
            limit = max(1, min(limit - taken, self._config.max_prefill_while_decoding))
        for sequence, count in _shares(reading, limit).items():
            if sequence.table.blocks and self._make_room(sequence, sequence.computed + count, chunks):
                self._take(sequence, count, chunks)

    def _catch_up(self, sequence: Sequence) -> None:
        done = self.blocks.catch_up(sequence.table, sequence.tokens, sequence.computed)
        if sequence.cached == sequence.computed:
            sequence.cached = min(done, sequence.prompt_tokens)
        sequence.computed = done

    def _take(self, sequence: Sequence, count: int, chunks: Chunks, drafts: tuple[int, ...] = ()) -> None:
        stop = sequence.computed + count + len(drafts)
        copy = self.blocks.reserve(sequence.table, sequence.computed, stop)
        chunks[sequence] = Chunk(sequence, count, drafts, copy)

    def _make_room(self, sequence: Sequence, stop: int, chunks: Chunks) -> bool:
        """See to it that `sequence` can write up to `stop`. False if it has to wait until others are done."""
        while self.blocks.needed(sequence.table, sequence.computed, stop) > self.blocks.free:
            victim = self._last_of_lowest_priority()
            if victim is sequence or victim is None:
                return False
            self._preempt(victim)
            chunks.pop(victim, None)
        return True

    def _last_of_lowest_priority(self) -> Sequence | None:
        return min(reversed(self.running), key=lambda sequence: sequence.priority, default=None)

    def _preempt(self, victim: Sequence) -> None:
        """Take the slot and the blocks of `victim`, who waits again."""
        self.running.remove(victim)
        self._release(victim)
        self.waiting.put_back(victim)
        self.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        self.blocks.release(sequence.table)
        sequence.computed = 0
        self._order = None


def _shares(reading: list[Sequence], limit: int) -> dict[Sequence, int]:
    """How many tokens each gets of `limit`. Who is not named gets none."""
    if not reading:
        return {}
    first = max(reading, key=lambda sequence: sequence.priority)
    shares = {first: min(first.remaining, -(-limit // 2))}
    left = limit - shares[first]
    for sequence in sorted(reading, key=lambda one: (-one.priority, one.remaining)):
        more = min(sequence.remaining - shares.get(sequence, 0), left)
        if more > 0:
            shares[sequence] = shares.get(sequence, 0) + more
            left -= more
    return shares
