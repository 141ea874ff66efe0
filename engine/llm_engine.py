"""The engine: token ids in, tokens and their text out. Synchronous; one thread owns it.

while engine.has_work():
    for output in engine.step(): ...
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from itertools import islice
from pathlib import Path

from torch import Tensor

from engine.admission import check_params, check_prompt, check_resumed
from engine.block_manager import BlockManager
from engine.computation import Computation
from engine.config import EngineConfig
from engine.detokenizer import StopChecker
from engine.guide import Guide
from engine.loading import LoadedModel, load_model
from engine.logit_shaping import LogitShaper
from engine.logprobs import TokenScore, score
from engine.model_runner import ModelRunner
from engine.output import EngineStats, StepOutput
from engine.picking import picks_of, shape
from engine.sampling_params import SamplingParams
from engine.scheduler import Chunk, Scheduler
from engine.sequence import Sequence, sibling_seed
from engine.speculation import NGramProposer
from engine.step_meter import StepMeter


class LLMEngine:
    """Runs requests on one model, several at a time."""

    def __init__(self, loaded: LoadedModel, config: EngineConfig) -> None:
        model = loaded.computation.model
        self.tokenizer = loaded.tokenizer
        self.context_length = loaded.context_length
        self.awaits_kernels = loaded.awaits_kernels
        self._proposer = NGramProposer(model.step_cost) if config.speculation else None
        self._scheduler = Scheduler(BlockManager(loaded.computation.cache.blocks), config, self._proposer)
        self._compute_with(loaded.computation)
        self._unfinished: dict[str, list[Sequence]] = {}
        self._over: list[Sequence] = []  # ended by what they were resumed with: the next step says so
        self._meter = StepMeter()
        self._generated = self._computed = self._proposed = self._accepted = self._finished = 0

    @classmethod
    def from_gguf(
        cls, path: str | Path, *, config: EngineConfig, progress: Callable[[int, int], None] | None = None
    ) -> LLMEngine:
        """An engine on the model in the file at `path`. `progress` is called with (bytes read, bytes in all).

        Raises ModelLoadError. Whatever `progress` raises ends the loading.
        """
        return cls(load_model(Path(path), config, progress), config)

    def add_request(
        self,
        request_id: str,
        token_ids: SequenceOf[int],
        params: SamplingParams,
        *,
        n: int = 1,
        fairness_key: str = "",
        priority: int = 0,
        begun: bool = False,
        resumed: SequenceOf[int] = (),
        guide: Guide | None = None,
    ) -> int:
        """Queue a prompt; `step` answers it, `n` times. Returns the seed, which is drawn here if `params` has none.

        The prompt is read once for all answers. The first has the seed itself, the others seeds that follow from it.
        `begun` says that the prompt ends in the midst of the text that is to go on.
        `resumed` are the first tokens of the one answer, which an earlier run has sampled with this seed: it goes on
        after them as that run would have, and gives what is new.
        `guide` keeps every answer in a form; it belongs to the engine from here on.
        Raises PromptTooLong, QueueFull, ParameterError, GrammarError, and ValueError for what no request may be.
        """
        if request_id in self._unfinished:
            raise ValueError(f"The request {request_id} is running already.")
        check_prompt(token_ids, params, n, self.tokenizer.vocab_size, self.context_length)
        check_resumed(resumed, n, self.tokenizer.vocab_size)
        check_params(params, self.tokenizer.vocab_size)
        seed = secrets.randbits(63) if params.seed is None else params.seed

        def answer(index: int, source: Sequence | None) -> Sequence:
            tokens, own_guide = list(token_ids), guide.fork() if guide is not None and index else guide
            return Sequence(
                request_id,
                tokens=tokens,
                prompt_tokens=len(token_ids),
                length_limit=min(len(token_ids) + params.max_tokens, self.context_length),
                params=params,
                seed=sibling_seed(seed, index),
                decoder=self.tokenizer.decoder(begun=begun),
                stop=StopChecker(params.stop),
                fairness_key=fairness_key,
                priority=priority,
                index=index,
                guide=own_guide,
                shaper=LogitShaper.wanted(params, tokens, len(token_ids), own_guide),
                source=source,
            )

        first = answer(0, None)
        first.forks = [answer(index, first) for index in range(1, n)]
        first.resume(resumed, self.tokenizer.eos_ids.__contains__)
        if guide is not None:
            guide.check()
        if first.finish_reason is None:
            self._scheduler.add(first)
        else:
            self._over.append(first)
        self._unfinished[request_id] = [first, *first.forks]
        return seed

    def abort(self, request_id: str) -> None:
        """Forget a request at once, and free what it holds. One that is not there is no error."""
        for sequence in self._unfinished.pop(request_id, ()):
            self._scheduler.remove(sequence)
            if sequence in self._over:
                self._over.remove(sequence)

    def has_work(self) -> bool:
        return bool(self._unfinished)

    def step(self) -> list[StepOutput]:
        """Compute as much as one step may, and say what came of it."""
        meter = self._meter
        meter.begin()
        over = self._end_resumed()
        chunks = self._scheduler.schedule()
        if not chunks:
            return over
        meter.done("schedule")
        logits = self._runner.run(chunks)
        meter.done("model")
        raw = shape(logits, chunks)
        tokens = self._sample(logits, picks_of(chunks))
        meter.done("sample")
        outputs = self._postprocess(chunks, tokens, raw)
        meter.done("postprocess")
        meter.count(sum(len(output.new_token_ids) for output in outputs))
        return over + outputs

    def replace_model(self, computation: Computation) -> None:
        """Go on with the kernels' form of the same model, between two steps. What runs is computed again there."""
        assert computation.model.config.context_length >= self.context_length, "a running answer may not fit"
        self.awaits_kernels = False
        if self._proposer is not None:
            self._proposer.cost = computation.model.step_cost
        self._scheduler.restart(BlockManager(computation.cache.blocks))
        self._compute_with(computation)

    @property
    def computing(self) -> str:
        """In what form the model computes, in words."""
        return self._title

    def request_ids(self) -> list[str]:
        """The requests that run or wait."""
        return list(self._unfinished)

    def queue_places(self) -> dict[str, int]:
        """Those who wait, by request id, and when their turn comes: 1 is next."""
        waiting = (sequence for sequence in self._scheduler.queue_order() if sequence.index == 0)
        return {sequence.request_id: place for place, sequence in enumerate(waiting, start=1)}

    def stats(self) -> EngineStats:
        blocks = self._scheduler.blocks
        counts = blocks.counts
        return EngineStats(
            computing=self.computing,
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            blocks_used=blocks.used,
            blocks_cached=blocks.cached,
            blocks_free=blocks.free - blocks.cached,
            prefix_query_tokens=counts.queried,
            prefix_hit_tokens=counts.hit,
            tokens_computed=self._computed,
            tokens_generated=self._generated,
            drafts_proposed=self._proposed,
            drafts_accepted=self._accepted,
            requests_finished=self._finished,
            preemptions=self._scheduler.preemptions,
            evictions=counts.evictions,
            copies=counts.copies,
            forks=counts.forks,
            tokens_per_second=self._meter.tokens_per_second,
            step_ms=self._meter.milliseconds,
        )

    def _compute_with(self, computation: Computation) -> None:
        self._title, self.native = computation.title, computation.native
        self._runner = ModelRunner(computation)
        self._sample = computation.model.make_sampler()

    def _end_resumed(self) -> list[StepOutput]:
        """What is said of answers that need no step: they were resumed with their last token."""
        over, self._over = self._over, []
        outputs = [self._output(sequence) for sequence in over]
        for sequence in over:
            self._finish(sequence)
        return outputs

    def _postprocess(self, chunks: list[Chunk], tokens: list[int], raw: dict[Sequence, Tensor]) -> list[StepOutput]:
        rows = iter(tokens)
        return [self._take(chunk, list(islice(rows, chunk.wanted)), raw.get(chunk.sequence)) for chunk in chunks]

    def _take(self, chunk: Chunk, sampled: list[int], logits: Tensor | None) -> StepOutput:
        """Let a sequence have what was computed and sampled for it. Of `logits`, it is told the log probabilities."""
        sequence = chunk.sequence
        if sequence.error is not None:
            sampled = []
        new, texts = sequence.accept(sampled, chunk.drafts, self.tokenizer.eos_ids.__contains__)
        accepted = max(0, len(new) - 1)
        self._scheduler.commit(chunk, accepted)
        self._count(chunk, new, accepted)
        scores = None if logits is None else score(logits[: len(new)], new, sequence.params.logprobs or 0)
        output = self._output(sequence, new, texts, scores)
        if sequence.finish_reason is not None or sequence.error is not None:
            self._finish(sequence)
        return output

    def _output(
        self,
        sequence: Sequence,
        new: tuple[int, ...] = (),
        texts: tuple[str, ...] = (),
        logprobs: tuple[TokenScore, ...] | None = None,
    ) -> StepOutput:
        return StepOutput(
            sequence.request_id,
            sequence.index,
            new_token_ids=new,
            texts=texts,
            logprobs=logprobs,
            finish_reason=sequence.finish_reason,
            error=sequence.error,
            prefilled=min(sequence.computed, sequence.prompt_tokens + sequence.resumed),
            prompt_tokens=sequence.prompt_tokens,
            cached=(sequence.source or sequence).cached or 0,  # the prompt is read once for all answers
        )

    def _count(self, chunk: Chunk, new: tuple[int, ...], accepted: int) -> None:
        self._computed += chunk.count + len(chunk.drafts)
        self._generated += len(new)
        self._proposed += len(chunk.drafts)
        self._accepted += accepted

    def _finish(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        answers = self._unfinished[sequence.request_id]
        answers.remove(sequence)
        if not answers:
            del self._unfinished[sequence.request_id]
            self._finished += 1
