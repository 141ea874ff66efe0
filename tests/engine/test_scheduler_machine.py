"""Thousands of random requests, forks, aborts and steps on a small cache: each reads its own tokens, nothing leaks.

The scheduler and the block manager are the real ones. The model is a stand-in that shows every mistake of theirs: what
it keeps for a token says which tokens came before it, and it picks the next token by what it reads back.
"""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from engine.block_manager import BlockManager
from engine.config import EngineConfig
from engine.detokenizer import StopChecker, StreamDecoder
from engine.errors import QueueFull
from engine.model_runner import lay_out
from engine.sampling_params import SamplingParams
from engine.scheduler import Chunk, Scheduler
from engine.sequence import Sequence
from engine.step import BLOCK

BLOCKS = 12
CONTEXT = BLOCKS * BLOCK
VOCABULARY = 7  # few, so that guesses are right now and then
END = 6
CONFIG = EngineConfig(max_batch_size=4, max_queue_size=8, max_tokens_per_step=40, max_prefill_while_decoding=20)


def meaning(before: int, token: int) -> int:
    """What a token's keys and values are made of: the token and all before it."""
    return hash((before, token))


def picked(meant: int, seed: int) -> int:
    return random.Random(meant ^ seed).randrange(VOCABULARY)


def told(tokens: list[int]) -> list[int]:
    meant, all_meant = 0, []
    for token in tokens:
        meant = meaning(meant, token)
        all_meant.append(meant)
    return all_meant


def answer(prompt: list[int], limit: int, seed: int) -> list[int]:
    """The prompt and the answer that it gets from an engine that has nothing else to do."""
    tokens, meant = prompt.copy(), told(prompt)[-1]
    while len(tokens) < limit and (token := picked(meant, seed)) != END:
        tokens.append(token)
        meant = meaning(meant, token)
    return tokens


class Memory:
    """The storage: one meaning for each position of each block."""

    def __init__(self) -> None:
        self.blocks: list[list[int | None]] = [[None] * BLOCK for _ in range(BLOCKS)]

    def read(self, blocks: list[int], size: int) -> list[int | None]:
        return [self.blocks[blocks[place // BLOCK]][place % BLOCK] for place in range(size)]

    def compute(self, chunks: list[Chunk]) -> list[int | None]:
        """As a model does. Returns the meanings at the wanted rows."""
        for chunk in chunks:
            if chunk.copy is not None:
                source, target = chunk.copy
                self.blocks[target] = self.blocks[source].copy()
        step, rows = lay_out(chunks), []
        tokens = iter(step.token_ids)
        for span in step.spans:
            before = self.read(list(span.blocks), span.start)[-1] if span.start else 0
            for place in range(span.start, span.start + span.count):
                assert before is not None, "what comes before is not computed"
                before = meaning(before, next(tokens))
                self.blocks[span.blocks[place // BLOCK]][place % BLOCK] = before
                rows.append(before)
        return [rows[row] for row in step.wanted]


class Guesser:
    """Right guesses, wrong ones and none, as it happens."""

    def __init__(self) -> None:
        self._random = random.Random(0)

    def begin_step(self, rows: int) -> None:
        pass

    def propose(self, sequence: Sequence, room: int) -> tuple[int, ...]:
        count = self._random.randrange(min(room, 20) + 1)
        limit = len(sequence.tokens) + count
        right = answer(sequence.tokens, limit, sequence.seed)[len(sequence.tokens) :]
        wrong = [self._random.randrange(VOCABULARY) for _ in range(count)]
        return tuple(right if self._random.random() < 0.5 else wrong)


class Machine(RuleBasedStateMachine):
    requests = Bundle("requests")
    conversations = Bundle("conversations")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(BlockManager(BLOCKS), CONFIG, Guesser())
        self.memory = Memory()
        self.live: dict[int, list[Sequence]] = {}
        self.prompts: dict[Sequence, list[int]] = {}
        self.kept: dict[bytes, list[int | None]] = {}  # what blocks of these hashes held when they were first kept
        self.ended: list[list[int]] = []
        self.names = 0

    @rule(
        target=requests,
        size=st.sampled_from([1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 40, 3 * BLOCK, 6 * BLOCK, CONTEXT - 1]),
        text=st.integers(0, 2),
        room=st.integers(1, 60),
        n=st.sampled_from([1, 1, 1, 2, 3, 6]),
        client=st.sampled_from("abc"),
        priority=st.sampled_from([0, 0, 0, -1]),
    )
    def add(self, size: int, text: int, room: int, n: int, client: str, priority: int) -> object:
        prompt = [(place * (text + 1)) % VOCABULARY for place in range(size)]
        return self._add(prompt, room, n, client, priority)

    @rule(target=requests, which=st.integers(0, 100), more=st.integers(1, 20), room=st.integers(1, 60))
    def go_on(self, which: int, more: int, room: int) -> object:
        """The next turn of a conversation."""
        if not self.ended:
            return multiple()
        prompt = [*self.ended[which % len(self.ended)], *[3] * more]
        return self._add(prompt, room, 1, "a", 0) if len(prompt) < CONTEXT else multiple()

    def _add(self, prompt: list[int], room: int, n: int, client: str, priority: int) -> object:
        def sequence(index: int, source: Sequence | None) -> Sequence:
            return Sequence(
                str(self.names),
                prompt.copy(),
                len(prompt),
                min(len(prompt) + room, CONTEXT),
                SamplingParams(),
                self.names + index,
                StreamDecoder(lambda token: b""),
                StopChecker(()),
                fairness_key=client,
                priority=priority,
                index=index,
                source=source,
            )

        first = sequence(0, None)
        first.forks = [sequence(index, first) for index in range(1, n)]
        answers = [first, *first.forks]
        try:
            self.scheduler.add(first)
        except QueueFull:
            assert len(self.scheduler.waiting) >= CONFIG.max_queue_size
            return multiple()
        self.live[self.names] = answers
        self.prompts |= dict.fromkeys(answers, prompt)
        self.names += 1
        return self.names - 1

    @rule(request=consumes(requests))
    def abort(self, request: int) -> None:
        for sequence in self.live.pop(request, []):
            self.scheduler.remove(sequence)

    @rule(steps=st.integers(1, 8))
    def step(self, steps: int) -> None:
        for _ in range(steps if self.live else 0):
            self._step()

    @rule()
    def restart(self) -> None:
        """Another model takes over, with a cache of its own."""
        self.scheduler.restart(BlockManager(BLOCKS))
        self.memory = Memory()

    def _step(self) -> None:
        chunks = self.scheduler.schedule()
        assert chunks or not self.live, "there is work and nobody does it"
        rows = sum(chunk.count + len(chunk.drafts) for chunk in chunks)
        assert rows <= CONFIG.max_tokens_per_step + 1
        self._check_writes(chunks)
        meant = iter(self.memory.compute(chunks))
        for chunk in chunks:
            sequence = chunk.sequence
            sampled = [picked(next(meant), sequence.seed) for _ in range(chunk.wanted)]
            new, _ = sequence.accept(sampled, chunk.drafts, END.__eq__)
            self.scheduler.commit(chunk, max(0, len(new) - 1))
            if sequence.finish_reason is not None:
                self._finish(sequence)

    def _check_writes(self, chunks: list[Chunk]) -> None:
        held = Counter(block for sequence in self.scheduler.running for block in set(sequence.table.blocks))
        for chunk in chunks:
            start = chunk.sequence.computed
            for index in range(start // BLOCK, (start + chunk.count + len(chunk.drafts) - 1) // BLOCK + 1):
                block = chunk.sequence.table.blocks[index]
                assert held[block] == 1, "a block is written that somebody else reads"
                assert block not in self.scheduler.blocks._hashes, "a block is written that is cached"

    def _finish(self, sequence: Sequence) -> None:
        assert sequence.tokens == answer(self.prompts[sequence], sequence.length_limit, sequence.seed)
        self.ended.append(sequence.tokens)
        self.scheduler.remove(sequence)
        request = int(sequence.request_id)
        self.live[request].remove(sequence)
        if not self.live[request]:
            del self.live[request]

    @invariant()
    def everybody_reads_its_own_tokens(self) -> None:
        for sequence in self.scheduler.running:
            size = sequence.computed
            assert self.memory.read(sequence.table.blocks, size) == told(sequence.tokens[:size])

    @invariant()
    def references_are_those_of_the_tables(self) -> None:
        blocks = self.scheduler.blocks
        held = Counter(block for sequence in self.scheduler.running for block in sequence.table.blocks)
        assert blocks._references == [held[block] for block in range(BLOCKS)]
        assert sorted([*held, *blocks._blank, *blocks._idle]) == list(range(BLOCKS))
        assert not any(sequence.table.blocks for sequence in self.scheduler.waiting)

    @invariant()
    def cached_blocks_stay_as_they_were(self) -> None:
        blocks = self.scheduler.blocks
        assert blocks._by_hash == {key: block for block, key in blocks._hashes.items()}
        assert all(block in blocks._hashes for block in blocks._idle)
        for key, block in blocks._by_hash.items():
            contents = self.memory.blocks[block]
            assert self.kept.setdefault(key, contents.copy()) == contents

    @invariant()
    def no_more_run_than_may(self) -> None:
        assert len(self.scheduler.running) <= CONFIG.max_batch_size

    def teardown(self) -> None:
        for _ in range(2000):
            if not self.live:
                break
            self._step()
        assert not self.live, "some answer never ends"
        assert (self.scheduler.blocks.used, self.scheduler.running, len(self.scheduler.waiting)) == (0, [], 0)


def test_ten_thousand_random_operations_keep_everything_in_order() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=100,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
