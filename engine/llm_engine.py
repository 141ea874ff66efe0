"""The engine: token ids in, tokens and their text out. Synchronous; one thread owns it.

while engine.has_work():
    for output in engine.step(): ...
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from pathlib import Path

from engine.config import EngineConfig
from engine.detokenizer import StopChecker
from engine.errors import PromptTooLong
from engine.kv_cache import BLOCK
from engine.loading import LoadedModel, load_model
from engine.model_runner import ModelRunner
from engine.output import EngineStats, StepOutput
from engine.sampler import Pick, sample
from engine.sampling_params import SamplingParams
from engine.scheduler import Chunk, Scheduler
from engine.sequence import Sequence


class LLMEngine:
    """Runs requests on one model, several at a time."""

    def __init__(self, loaded: LoadedModel, config: EngineConfig) -> None:
        self.tokenizer = loaded.tokenizer
        self.context_length = loaded.context_length
        self._cache = loaded.cache
        self._runner = ModelRunner(loaded.model, loaded.cache)
        self._scheduler = Scheduler(
            loaded.cache, config.max_batch_size, config.max_queue_size, config.max_tokens_per_step
        )
        self._sequences: dict[str, Sequence] = {}
        self._tokens_generated = self._tokens_computed = self._finished = 0

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
        fairness_key: str = "",
        priority: int = 0,
    ) -> int:
        """Queue a prompt; `step` answers it. Returns the seed, which is drawn here if `params` has none.

        Raises PromptTooLong, QueueFull, and ValueError for what no request may be.
        """
        self._check(request_id, token_ids, params)
        seed = secrets.randbits(63) if params.seed is None else params.seed
        sequence = Sequence(
            request_id,
            tokens=list(token_ids),
            prompt_tokens=len(token_ids),
            length_limit=min(len(token_ids) + params.max_tokens, self.context_length),
            params=params,
            seed=seed,
            decoder=self.tokenizer.decoder(),
            stop=StopChecker(params.stop),
            fairness_key=fairness_key,
            priority=priority,
        )
        self._scheduler.add(sequence)
        self._sequences[request_id] = sequence
        return seed

    def abort(self, request_id: str) -> None:
        """Forget a request at once, and free what it holds. One that is not there is no error."""
        sequence = self._sequences.pop(request_id, None)
        if sequence is not None:
            self._scheduler.remove(sequence)

    def has_work(self) -> bool:
        return bool(self._sequences)

    def step(self) -> list[StepOutput]:
        """Compute as much as one step may, and say what came of it."""
        chunks = self._scheduler.schedule()
        if not chunks:
            return []
        complete = [chunk.sequence for chunk in chunks if chunk.completes]
        logits = self._runner.run(chunks)
        picks = [Pick(sequence.params, sequence.seed, len(sequence.tokens)) for sequence in complete]
        tokens = dict(zip(complete, sample(logits, picks), strict=True))
        return [self._postprocess(chunk, tokens.get(chunk.sequence)) for chunk in chunks]

    def request_ids(self) -> list[str]:
        """The requests that run or wait."""
        return list(self._sequences)

    def queue_places(self) -> dict[str, int]:
        """Those who wait, by request id, and when their turn comes: 1 is next."""
        return {sequence.request_id: place for place, sequence in enumerate(self._scheduler.queue_order(), start=1)}

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            kv_tokens_used=(self._cache.blocks - self._cache.free_blocks) * BLOCK,
            kv_tokens_total=self._cache.blocks * BLOCK,
            tokens_generated=self._tokens_generated,
            tokens_computed=self._tokens_computed,
            preemptions=self._scheduler.preemptions,
            requests_finished=self._finished,
        )

    def _check(self, request_id: str, token_ids: SequenceOf[int], params: SamplingParams) -> None:
        if request_id in self._sequences:
            raise ValueError(f"The request {request_id} is running already.")
        if not token_ids:
            raise ValueError("Prompt cannot be empty.")
        if params.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1.")
        if not (min(token_ids) >= 0 and max(token_ids) < self.tokenizer.vocab_size):
            raise ValueError("The prompt holds a token id that the model does not have.")
        if len(token_ids) >= self.context_length:
            raise PromptTooLong(
                f"The prompt has {len(token_ids):,} tokens and the model's context holds {self.context_length:,},"
                " the answer included. Shorten it."
            )

    def _postprocess(self, chunk: Chunk, token: int | None) -> StepOutput:
        sequence = chunk.sequence
        prefilled = min(sequence.computed, sequence.prompt_tokens)
        self._tokens_computed += chunk.count
        if token is None:
            return StepOutput(sequence.request_id, prefilled=prefilled, prompt_tokens=sequence.prompt_tokens)
        text = sequence.append(token, self.tokenizer.eos_ids.__contains__)
        self._tokens_generated += 1
        if sequence.finish_reason is not None:
            self.abort(sequence.request_id)
            self._finished += 1
        return StepOutput(
            sequence.request_id,
            new_token_ids=(token,),
            text=text,
            finish_reason=sequence.finish_reason,
            prefilled=prefilled,
            prompt_tokens=sequence.prompt_tokens,
        )
