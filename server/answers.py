"""Answers from the backends: the one place where a backend is chosen, work is counted and timed, and failures are told.

A chat's answer and a stateless call both go through `generate`. Knows nothing of sessions' logs, of HTTP or of frames.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import ClassVar

import structlog
import uuid_utils

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Overloaded,
    Progress,
)
from server.clock import Clock
from server.context import turns
from server.deadline import within
from server.measures.answers import AnswerMeasures
from server.mended import Mended
from server.merging import Events, merged, one_by_one
from server.models import Models
from server.options import HubOptions
from server.prompting import Question, prepare
from server.protocol import NoticeEvent
from server.quotes import is_quote, quote
from server.run import BROKE_OFF, Run
from server.thinking import chosen

RETRY_AFTER_S = 1

log = structlog.get_logger()


class InternalError(BackendError):
    """Something failed that nobody foresaw. The log has the traceback."""

    code: ClassVar[str] = "internal"


class Answers:
    """Asks the backends, for chats and for stateless calls."""

    def __init__(self, models: Models, options: HubOptions, clock: Clock, measures: AnswerMeasures) -> None:
        self._running: set[str] = set()  # the ids of the requests that are being answered
        self._models = models
        self._options = options
        self._clock = clock
        self._measures = measures
        self._overloaded_until = -math.inf
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    @property
    def overloaded(self) -> bool:
        """Whether a backend had no room a moment ago."""
        return self._clock.now() < self._overloaded_until

    async def wait_until_idle(self) -> None:
        """Until no request is being answered."""
        await self._idle.wait()

    async def generate(self, request: GenerationRequest, timeout_s: float | None = None) -> AsyncGenerator[Event, None]:
        """The events up to a `Done` for each choice, from the backend that has the model. Closing it cancels the work.

        `request.model` is `backend/name`, a bare name, or empty for the current model. Raises BackendError,
        also when the answer takes longer than `timeout_s`.
        """
        began = time.monotonic()
        outcome = "cancelled"
        running, mended = request.n, Mended()
        identity = self._enter(request.request_id)
        watch = self._measures.began()
        try:
            backend, info = await self._models.resolve(request.model)
            watch.answers(f"{backend.name}/{info.name}")
            answer = _asked(backend, replace(request, request_id=identity, model=info.name))
            async with aclosing(within(answer, timeout_s, self._clock) if timeout_s else answer) as events:
                async for event in events:
                    watch.saw(event)
                    running -= isinstance(event, Done)
                    if isinstance(event, Done) and not running:
                        outcome = event.finish_reason
                    yield mended.mend(event)
            if running:
                raise BackendFailed(BROKE_OFF)
        except BackendError as error:
            outcome = error.code
            watch.failed(outcome)
            if isinstance(error, BackendUnreachable):
                self._models.probe()
            if isinstance(error, Overloaded):
                self._overloaded_until = self._clock.now() + (error.retry_after or RETRY_AFTER_S)
            raise
        except Exception as error:
            outcome = "internal"
            watch.failed(outcome)
            log.exception("a backend failed", request=identity)
            raise InternalError("Something went wrong in the server. Its log says what.") from error
        finally:
            self._leave(identity)
            watch.ended()
            seconds = round(time.monotonic() - began, 3)
            log.info("answered", request=identity, outcome=outcome, seconds=seconds)

    async def events(self, run: Run) -> AsyncGenerator[Event, None]:
        """The events of a chat's answer: `generate`, over what the conversation has come to; or a quotation."""
        if is_quote(run.prompt.message):
            async with aclosing(quote(run.id, run.text)) as events:
                async for event in events:
                    yield event
            return
        if run.checkpoint.asked is None:
            async with aclosing(self._loading(run.prompt.model or "")) as steps:
                async for step in steps:
                    yield step
            await self._prepare(run)
        assert run.checkpoint.asked is not None
        request = replace(run.checkpoint.asked.request, resume_token_ids=run.checkpoint.token_ids)
        async with aclosing(self.generate(request)) as events:
            async for event in events:
                yield event

    async def _loading(self, model: str) -> AsyncGenerator[Event, None]:
        """Until a model that is being loaded is there. Only then its tokens can be counted, and not just guessed."""
        backend, info = await self._models.resolve(model)
        if info.state == "loading":
            async with aclosing(backend.load(info.name)) as steps:
                async for step in steps:
                    if step.total:
                        yield Progress("loading", step.done, step.total, message=step.message)

    async def _prepare(self, run: Run) -> None:
        prompt, state = run.prompt, run.session.state
        backend, info = await self._models.resolve(prompt.model or "")
        path = state.path(state.nodes[prompt.id].parent_id)
        think = chosen(run.session.about) if prompt.think is None else prompt.think
        question = Question(
            run.id, turns(path), prompt.message, prompt.params, think, run.session.id, resume_text=run.text
        )
        prepared = await prepare(question, backend, info, self._options)
        run.prepared(prepared.asked)
        if path and path[-1].model not in (None, run.model):
            run.session.publish(NoticeEvent(message=f"From here on {run.model} answers."))
        if dropped := [identity for identity in prepared.dropped if identity not in state.dropped]:
            text = "This conversation is longer than the model can read. Its oldest turns are left out."
            run.session.publish(NoticeEvent(message=text, dropped=dropped))

    def _enter(self, wanted: str) -> str:
        """Gives the request's id: the wanted one, unless another request runs under it."""
        identity = str(uuid_utils.uuid7()) if wanted in self._running else wanted
        self._running.add(identity)
        self._idle.clear()
        return identity

    def _leave(self, identity: str) -> None:
        self._running.remove(identity)
        if not self._running:
            self._idle.set()


def _asked(backend: Backend, request: GenerationRequest) -> Events:
    if request.n == 1 or backend.branches:
        return backend.generate(request)
    return merged([backend.generate(each) for each in one_by_one(request)])
