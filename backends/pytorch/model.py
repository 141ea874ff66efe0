"""One model that the in-process engine serves, seen from the event loop: its state and the answers it is giving.

The engine's thread reports; every report comes to the loop in one hop and is handed to those whom it concerns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

from backends.base import (
    BackendError,
    BackendFailed,
    ContextOverflow,
    Event,
    GenerationRequest,
    ModelInfo,
    ModelInvalid,
    ModelState,
    Overloaded,
    Progress,
    Stats,
    Unsupported,
)
from backends.pytorch.answer import Answer
from backends.pytorch.likelihoods import as_logprobs
from backends.pytorch.names import Names
from backends.pytorch.prompts import Prompts
from backends.pytorch.stats import as_stats
from engine.config import EngineConfig
from engine.errors import ParameterError, PromptTooLong, QueueFull
from engine.output import StepOutput
from engine.reports import (
    Crashed,
    Ended,
    Failed,
    Loading,
    Measured,
    Ready,
    Rejected,
    Report,
    Stepped,
)
from engine.worker import EngineWorker

log = logging.getLogger(__name__)

RETRY_AFTER = 2.0  # seconds
BROKEN = "Error connecting to engine: it broke while answering and is starting again. Send the message again."
BROKE_OFF = "The answer broke off. Send the message again."
CLOSED = "The server is shutting down. Send the message again when it is back."


class ServedModel:
    """A model from the beginning of its loading to the end of its last answer. Used on one event loop."""

    def __init__(
        self,
        path: Path,
        info: ModelInfo,
        config: EngineConfig,
        changed: Callable[[ServedModel, ModelState], None],
        measured: Callable[[ServedModel], None],
    ) -> None:
        """Begin to load. `changed` is called on the loop whenever `info` is another, and when `ended` becomes true.

        It is given the state before. `measured` is called whenever `stats` are others.
        """
        self.info = replace(info, state="loading", progress=0.0)
        self.done = self.total = 0  # bytes loaded
        self.ended = False
        self.stats: Stats | None = None  # until the engine is built
        self._slots = config.max_batch_size
        self._changed = changed
        self._measured = measured
        self._ready: Ready | None = None
        self._answers: dict[str, Answer] = {}  # by what the engine calls them
        self._names = Names()
        self._prompts = Prompts()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._worker = EngineWorker(path, config, self._from_thread)
        self._worker.start()

    @property
    def requests(self) -> int:
        """Answers that are given or waited for."""
        return len(self._answers)

    def drain(self) -> None:
        """Finish what runs, then end."""
        self.info = replace(self.info, state="draining")
        self._end_if_idle()

    async def close(self) -> None:
        """End now. Those who wait get an error."""
        self._worker.stop()
        self._fail_all(BackendFailed(CLOSED))
        await asyncio.to_thread(self._worker.join)

    async def loading(self) -> AsyncGenerator[tuple[int, int], None]:
        """(bytes read, bytes in all) whenever they have changed, until the model is ready. Raises ModelInvalid."""
        while self._ready is None:
            if self.info.state == "failed":
                raise ModelInvalid(self.info.reason or "The model cannot be loaded.")
            if self.ended:
                raise BackendFailed(CLOSED)
            yield self.done, self.total
            await self._news.wait()

    async def answer(self, request: GenerationRequest, arrived: float) -> AsyncGenerator[Event, None]:
        """Answer `request`, which came at `arrived`, once the model is ready. Closing the generator frees its slot."""
        name = self._names.give(request.request_id)
        answer = self._answers[name] = Answer(arrived, request.n, len(request.resume_token_ids))
        try:
            async with aclosing(self.loading()) as loading:
                async for done, total in loading:
                    yield Progress("loading", done, total, message=f"Loading {self.info.name}")
            prepared = await self._prompts.prepare(request, self._engine())
            self._worker.submit(replace(prepared, request_id=name))
            if self.ended:  # meanwhile
                raise BackendFailed(CLOSED)
            async with aclosing(answer.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._worker.abort(name)
            self._answers.pop(name, None)
            self._end_if_idle()

    async def count_tokens(self, request: GenerationRequest) -> int:
        """The tokens of the prompt. The model is ready."""
        return await self._prompts.count(request, self._engine())

    def _end_if_idle(self) -> None:
        if self.info.state == "draining" and not self._answers:
            self._worker.stop()

    def _engine(self) -> Ready:
        assert self._ready is not None
        return self._ready

    def _from_thread(self, report: Report) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._take, report)

    def _take(self, report: Report) -> None:
        """The one place where the engine's reports change anything."""
        match report:
            case Stepped():
                self._deal_out(report)
            case Measured(stats):
                self.stats = as_stats(self.info.name, self._slots, stats)
                self._measured(self)
            case Loading(done, total):
                self.done, self.total = done, total
                self._become(replace(self.info, progress=done / total if total else 0.0))
            case Ready(_, context_length):
                self._ready = report
                self._become(replace(self.info, state="ready", progress=None, context_length=context_length))
            case Rejected(request_id, error):
                if request_id in self._answers:
                    self._answers[request_id].fail(_as_backend_error(error))
            case Crashed(request_ids):
                self._ready = self.stats = None
                for request_id in request_ids:
                    if request_id in self._answers:
                        self._answers[request_id].fail(BackendFailed(BROKEN))
                if self.info.state == "draining":
                    self._worker.stop()
                else:
                    self._become(replace(self.info, state="loading", progress=0.0))
            case Failed(error):
                self.ended, self.stats = True, None
                self._fail_all(ModelInvalid(str(error)))
                self._become(replace(self.info, state="failed", progress=None, reason=str(error)))
            case Ended():
                self.ended = True
                self._fail_all(BackendFailed(CLOSED))
                self._become(self.info)

    def _deal_out(self, step: Stepped) -> None:
        for request_id, place in step.queued.items():
            if request_id in self._answers:
                self._answers[request_id].wait_in_line(place)
        for output in step.outputs:
            if (answer := self._answers.get(output.request_id)) is None:
                continue
            try:
                self._give(answer, output, step.started)
            except Exception:  # or it would wait for ever, and the others of this step with it
                log.exception("What the engine gave for %s could not be taken.", output.request_id)
                answer.fail(BackendFailed(BROKE_OFF))

    def _give(self, answer: Answer, output: StepOutput, started: float) -> None:
        if output.error is not None:
            answer.fail(_as_backend_error(output.error))
        else:
            logprobs = as_logprobs(output.logprobs, self._engine().tokenizer) if output.logprobs else ()
            answer.take(output, started, logprobs)

    def _become(self, info: ModelInfo) -> None:
        before, self.info = self.info.state, info
        self._news.set()
        self._news = asyncio.Event()
        self._changed(self, before)

    def _fail_all(self, error: BackendError) -> None:
        for answer in self._answers.values():
            answer.fail(error)


def _as_backend_error(error: Exception) -> BackendError:
    if isinstance(error, QueueFull):
        return Overloaded("Engine overloaded.", retry_after=RETRY_AFTER)
    if isinstance(error, PromptTooLong):
        return ContextOverflow(str(error))
    if isinstance(error, ParameterError):
        return Unsupported(str(error), field=error.field)
    return Unsupported(str(error))
