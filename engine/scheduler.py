"""Which sequences take part in the next step, and with how many tokens.

There are no phases: a sequence has tokens and computed tokens, and a step's token budget lets the second catch up with
the first. Prefill, prefill in chunks, decoding and computing again after a preemption are that one rule.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count

from engine.errors import QueueFull
from engine.kv_cache import TensorKVCache, blocks_for
from engine.sequence import Sequence


@dataclass(slots=True, frozen=True)
class Chunk:
    """The next `count` tokens of a sequence to compute."""

    sequence: Sequence
    count: int

    @property
    def completes(self) -> bool:
        """Whether the sequence's next token can be sampled after this."""
        return self.count == self.sequence.remaining


class Scheduler:
    """Holds the sequences that run and those that wait."""

    def __init__(
        self, cache: TensorKVCache, max_batch_size: int, max_queue_size: int, max_tokens_per_step: int
    ) -> None:
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.preemptions = 0
        self._cache = cache
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._max_tokens = max_tokens_per_step
        self._turns = count(1)
        self._last_turn: Counter[str] = Counter()

    def add(self, sequence: Sequence) -> None:
        """Let `sequence` wait for its turn. Raises QueueFull."""
        free_slots = self._max_batch_size - len(self.running)
        if len(self.waiting) >= self._max_queue_size + max(0, free_slots):
            raise QueueFull(f"{len(self.waiting)} requests are waiting already. Try again in a moment.")
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget `sequence`, whether it runs or waits, and take its blocks back."""
        (self.running if sequence in self.running else self.waiting).remove(sequence)
        self._release(sequence)

    def queue_order(self) -> list[Sequence]:
        """Those who wait, the next first: by priority, then who runs least, then whose last turn is longest ago."""
        turns = Counter(sequence.fairness_key for sequence in self.running)
        ranked: list[tuple[tuple[int, int, int, int], Sequence]] = []
        for arrival, sequence in enumerate(sorted(self.waiting, key=lambda sequence: -sequence.priority)):
            key = sequence.fairness_key
            ranked.append(((-sequence.priority, turns[key], self._last_turn[key], arrival), sequence))
            turns[key] += 1
        ranked.sort(key=lambda entry: entry[0])
        return [sequence for _, sequence in ranked]

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step: those who decode first, then prompts as far as the budget goes."""
        budget = self._max_tokens
        chunks: list[Chunk] = []
        for sequence in sorted(self.running, key=lambda s: s.remaining > 1):
            budget -= self._take(sequence, budget, chunks)
        while self.waiting and budget > 0 and len(self.running) < self._max_batch_size and self._cache.free_blocks:
            budget -= self._take(self._admit(), budget, chunks)
        return chunks

    def _admit(self) -> Sequence:
        sequence = self.queue_order()[0]
        self.waiting.remove(sequence)
        self.running.append(sequence)
        self._last_turn[sequence.fairness_key] = next(self._turns)
        return sequence

    def _take(self, sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        """Add a chunk of `sequence` if there is budget and room for it. Returns its length."""
        if sequence not in self.running:  # preempted in this very step
            return 0
        tokens = min(sequence.remaining, budget)
        while tokens > 0 and (missing := blocks_for(sequence.computed + tokens) - len(sequence.blocks)) > 0:
            if self._cache.free_blocks >= missing:
                sequence.blocks.extend(self._cache.allocate() for _ in range(missing))
            elif not self._preempt_after(sequence, chunks):
                return 0
        if tokens > 0:
            chunks.append(Chunk(sequence, tokens))
        return max(tokens, 0)

    def _preempt_after(self, sequence: Sequence, chunks: list[Chunk]) -> bool:
        """Take the blocks of the sequence that came last, unless it is `sequence`. It will be computed again."""
        victim = self.running[-1]
        if victim is sequence:
            return False
        self.running.remove(victim)
        chunks[:] = [chunk for chunk in chunks if chunk.sequence is not victim]
        self._release(victim)
        self.waiting.insert(0, victim)
        self.preemptions += 1
        return True

    def _release(self, sequence: Sequence) -> None:
        for block in sequence.blocks:
            self._cache.free(block)
        sequence.blocks.clear()
        sequence.computed = 0
