"""One answer in the making: from its first event to exactly one `ai` or `error`.

Owns the task that follows a backend's events and publishes them, and what is measured on the way. Knows nothing of
sockets, and not where the events come from. It lives as long as the answer does, whoever watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from backends.base import (
    BackendError,
    Canvas,
    Done,
    Event,
    FinishReason,
    Progress,
    Reasoning,
    Text,
    Timings,
    ToolCalls,
    Usage,
)
from server.clock import Clock, Timer
from server.coalesce import Channel, Coalescer
from server.prompt import Prompt
from server.protocol import (
    AiEvent,
    CanvasMessage,
    ChatParams,
    DeltaEvent,
    ErrorEvent,
    ProgressMessage,
    TimingInfo,
    TypingEvent,
    UsageInfo,
    UserEvent,
)
from server.session import Session

PROGRESS_EVERY_S = 1.0
BROKE_OFF = "The answer broke off."
UNFORESEEN = "Something went wrong in the server. Its log says what."

log = structlog.get_logger()


class Run:
    """The answer to one prompt."""

    def __init__(
        self, prompt: Prompt, model: str, session: Session, clock: Clock, flush_s: float, ended: Callable[[], None]
    ) -> None:
        self.id = prompt.run
        self.prompt = prompt
        self.model = model
        self.session = session
        self.params: ChatParams | None = None  # until it is prepared
        self.task: asyncio.Task[None] | None = None
        self.over = False
        self._clock = clock
        self._ended = ended
        self._text = Coalescer(self._publish_delta, clock, flush_s)
        self._prompt_tokens = 0
        self._cached = 0
        self._tokens = 0
        self._began = clock.now()
        self._first_at: float | None = None
        self._last_at = self._began
        self._progress: Progress | None = Progress("prefill")  # None: text is coming
        self._ticker: Timer | None = None

    def start(self, parent_id: str | None, events: Callable[[Run], AsyncGenerator[Event, None]]) -> int:
        """Publish `user` and `typing`, and follow the events from now on. Gives the `seq` of `user`."""
        prompt = self.prompt
        seq = self.session.publish(
            UserEvent(id=prompt.id, parent_id=parent_id, message=prompt.message, cmd_id=prompt.cmd_id, run=self.id)
        )
        self.session.publish(TypingEvent(id=self.id, model=self.model))
        self._ticker = self._clock.call_later(PROGRESS_EVERY_S, self._tick)
        self.task = asyncio.get_running_loop().create_task(self._follow(events(self)), name=f"run {self.id}")
        return seq

    def prepared(self, model: str, params: ChatParams, prompt_tokens: int) -> None:
        """The request is made: this is what it goes to, and with what."""
        self.model, self.params, self._prompt_tokens = model, params, prompt_tokens

    def end(self, reason: FinishReason) -> None:
        """End the answer now: what came of it stays, and the backend's work is cancelled."""
        if not self.over:
            self._finish(reason, Done(reason, self._usage()))
            assert self.task is not None
            self.task.cancel()

    async def _follow(self, events: AsyncGenerator[Event, None]) -> None:
        structlog.contextvars.clear_contextvars()  # of whoever asked for this answer, or for the one before it
        structlog.contextvars.bind_contextvars(session=self.session.id, run=self.id)
        try:
            await self._take_all(events)
        except asyncio.CancelledError:
            self._fail("backend_error", BROKE_OFF)  # by something in the backend; whoever calls `end` ends it first
            raise
        except Exception:
            log.exception("a run failed", run=self.id, model=self.model)
            self._fail("internal", UNFORESEEN)

    async def _take_all(self, events: AsyncGenerator[Event, None]) -> None:
        """Take the events up to the end. Raises whatever comes of a backend that does not keep to its types."""
        try:
            async with aclosing(events):
                async for event in events:
                    if not self.over:  # a backend may talk on after it was cancelled
                        self._take(event)
                    if self.over:
                        return
            self._fail("backend_error", BROKE_OFF)
        except BackendError as error:
            self._fail(error.code, error.message, error.retry_after)

    def _take(self, event: Event) -> None:
        match event:
            case Text():
                self._add("content", event.text, len(event.token_ids))
            case Reasoning():
                self._add("reasoning", event.text, len(event.token_ids))
            case Progress():
                self._progress = event
                self._cached = max(self._cached, event.cached)
                self._show_progress()
            case Canvas():
                self._show_canvas(event)
            case Done():
                self._finish(event.finish_reason, event)
            case ToolCalls():
                log.warning("a chat was given tool calls, which it did not ask for", run=self.id)

    def _add(self, channel: Channel, text: str, tokens: int) -> None:
        self._last_at = self._clock.now()
        if self._first_at is None:
            self._first_at = self._last_at
        self._tokens += tokens or 1
        self._progress = None
        self._text.add(channel, text, tokens or 1)

    def _publish_delta(self, channel: Channel, offset: int, text: str) -> None:
        self.session.publish(DeltaEvent(id=self.id, channel=channel, offset=offset, message=text))

    # The end

    def _finish(self, reason: FinishReason, done: Done) -> None:
        self._text.flush()
        self._conclude(
            AiEvent(
                id=self.id,
                parent_id=self.prompt.id,
                message=self._text.text("content"),
                reasoning=self._text.text("reasoning") or None,
                finish_reason=reason,
                usage=_usage_info(done.usage),
                timings=self._timings(done.timings, done.usage.completion_tokens),
                model=self.model,
                params=self.params,
            )
        )

    def _fail(self, code: str, message: str, retry_after: float | None = None) -> None:
        if not self.over:
            self._text.flush()
            said = {"id": self.id, "code": code, "message": message, "retry_after": retry_after}
            self._conclude(ErrorEvent.model_validate(said))

    def _conclude(self, event: AiEvent | ErrorEvent) -> None:
        """Publish the end. Only then is it over: an end that cannot be published leaves room for another."""
        self.session.publish(event)
        self.over = True
        if self._ticker is not None:
            self._ticker.cancel()
        self.session.settle(self.id)
        self._ended()

    def _usage(self) -> Usage:
        return Usage(self._prompt_tokens, self._cached, self._tokens)

    def _timings(self, told: Timings, tokens: int) -> TimingInfo:
        """What the backend measured; where it did not, what was seen here."""
        decoding = self._last_at - self._first_at if self._first_at is not None else 0.0
        rate = (tokens - 1) / decoding if tokens > 1 and decoding > 0 else None
        ttft = (self._first_at - self._began) * 1000 if self._first_at is not None else None
        total = (self._clock.now() - self._began) * 1000
        return TimingInfo(
            queued_ms=_rounded(told.queued_ms),
            ttft_ms=_rounded(ttft if told.ttft_ms is None else told.ttft_ms),
            total_ms=_rounded(total if told.total_ms is None else told.total_ms),
            tokens_per_second=_rounded(rate if told.tokens_per_second is None else told.tokens_per_second),
        )

    # While no text comes

    def _tick(self) -> None:
        """Say how far it is, when nothing else was said for a while."""
        if self._clock.now() - self.session.active_at >= PROGRESS_EVERY_S / 2:
            self._show_progress()
        self._ticker = self._clock.call_later(PROGRESS_EVERY_S, self._tick)

    def _show_progress(self) -> None:
        at = self._progress or Progress("decoding", self._tokens)
        self.session.transient(
            ProgressMessage(
                id=self.id,
                phase=at.phase,
                done=at.done,
                total=at.total,
                cached=at.cached or None,
                position=at.position,
            )
        )

    def _show_canvas(self, canvas: Canvas) -> None:
        ops = [(position, text, state, confidence) for position, text, state, confidence in canvas.ops]
        self.session.transient(
            CanvasMessage.model_validate(
                {
                    "id": self.id,
                    "rev": canvas.rev,
                    "length": canvas.length,
                    "full": canvas.full,
                    "step": canvas.step,
                    "ops": ops,
                }
            )
        )


def _usage_info(usage: Usage) -> UsageInfo:
    return UsageInfo(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
