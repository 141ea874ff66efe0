"""One answer in the making: from its first event to exactly one `ai` or `error`.

Owns the task that follows a backend's events and publishes them, and what is measured on the way. Knows nothing of
sockets, and not where the events come from. It lives as long as the answer does, whoever watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

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
    ToolCalls,
    Usage,
)
from server.checkpoint import Asked, Checkpoint
from server.clock import Clock, Timer
from server.coalesce import Channel, Coalescer
from server.failures import log_failure
from server.history.records import Piece
from server.node import Node
from server.prompt import Prompt
from server.protocol import (
    AiEvent,
    CanvasMessage,
    DeltaEvent,
    ErrorEvent,
    ProgressMessage,
    TypingEvent,
    UsageInfo,
    UserEvent,
)
from server.recorder import Recorder
from server.session import Session
from server.stopwatch import Stopwatch

PROGRESS_EVERY_S = 1.0
BROKE_OFF = "The answer broke off."
UNFORESEEN = "Something went wrong in the server. Its log says what."

log = structlog.get_logger()


class Run:
    """The answer to one prompt. One that was begun before goes on from where its message ends."""

    def __init__(
        self,
        prompt: Prompt,
        model: str,
        session: Session,
        clock: Clock,
        flush_s: float,
        recorder: Recorder,
        ended: Callable[[], None],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """`checkpoint`: where it was when the server went down in the middle of it."""
        self.id = prompt.run
        self.prompt = prompt
        self.model = model
        self.session = session
        self.checkpoint = checkpoint or Checkpoint(prompt, model)
        self.task: asyncio.Task[None] | None = None
        self.over = False
        self._clock = clock
        self._recorder = recorder
        self._ended = ended
        self._before = _texts(session.state.nodes.get(self.id))
        self._text = Coalescer(self._publish_delta, clock, flush_s, self._before)
        self._cached = 0
        self._watch = Stopwatch(clock, len(self.checkpoint.token_ids))
        self._progress: Progress | None = Progress("prefill")  # None: text is coming
        self._ticker: Timer | None = None

    @property
    def text_came(self) -> bool:
        """Whether there is anything that a backend would have to go on from."""
        return self._watch.text_came or self.checkpoint.pieces > 0

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text.text("content")

    def start(self, parent_id: str | None, events: Callable[[Run], AsyncGenerator[Event, None]]) -> int:
        """Publish that it begins, and follow the events from now on. Gives the `seq` of the first event."""
        prompt, now, seq = self.prompt, self._clock.today(), 0
        if not prompt.said:
            seq = self.session.publish(
                UserEvent(
                    id=prompt.id, parent_id=parent_id, message=prompt.message, cmd_id=prompt.cmd_id, run=self.id, at=now
                )
            )
        asked_by = prompt.cmd_id if prompt.said else None
        began = self.session.publish(
            TypingEvent(id=self.id, parent_id=prompt.id, model=self.model, cmd_id=asked_by, at=now)
        )
        self._recorder.running(self.session, self.checkpoint.record(), 0)
        self._begin(events)
        return seq or began

    def resume(self, events: Callable[[Run], AsyncGenerator[Event, None]]) -> None:
        """Go on where the checkpoint is. Whoever watches has seen it begin."""
        self._recorder.running(self.session, self.checkpoint.record(), self.checkpoint.pieces)
        self._begin(events)

    def conclude(self) -> None:
        """Tell the end that an earlier life of the server had stored."""
        assert self.checkpoint.done is not None
        self._finish(self.checkpoint.done.finish_reason, self.checkpoint.done)

    def prepared(self, asked: Asked) -> None:
        """The request is made: this is what it goes to, and with what."""
        self.model = asked.request.model
        self.checkpoint = replace(self.checkpoint, asked=asked, model=self.model)
        self._recorder.running(self.session, self.checkpoint.record())

    def end(self, reason: FinishReason) -> None:
        """End the answer now: what came of it stays, and the backend's work is cancelled."""
        if not self.over:
            self._finish(reason, Done(reason, self._usage()))
            if self.task is not None:
                self.task.cancel()

    def suspend(self) -> None:
        """Stop here without an end: another life of the server goes on with it."""
        if not self.over:
            self._text.flush()
            self._stop()
            assert self.task is not None
            self.task.cancel()

    def _begin(self, events: Callable[[Run], AsyncGenerator[Event, None]]) -> None:
        self._ticker = self._clock.call_later(PROGRESS_EVERY_S, self._tick)
        self.task = asyncio.get_running_loop().create_task(self._follow(events(self)), name=f"run {self.id}")

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
                    if isinstance(event, Done):
                        await self._store_end(event)
                    if not self.over:  # a backend may talk on after it was cancelled
                        self._take(event)
                    if self.over:
                        return
            self._fail("backend_error", BROKE_OFF)
        except BackendError as error:
            self._fail(error.code, error.message, error.retry_after)

    async def _store_end(self, done: Done) -> None:
        """What people are told is finished is stored by then, whatever happens in the next moment."""
        if not self.over:
            self._text.flush()
            self.checkpoint = replace(self.checkpoint, done=done)
            self._recorder.running(self.session, self.checkpoint.record())
            await self._recorder.saved(self.session)

    def _take(self, event: Event) -> None:
        match event:
            case Text():
                self._add("content", event.text, event.token_ids)
            case Reasoning():
                self._add("reasoning", event.text, event.token_ids)
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

    def _add(self, channel: Channel, text: str, token_ids: tuple[int, ...]) -> None:
        self._watch.count(len(token_ids) or 1)
        self._progress = None
        self._text.add(channel, text, token_ids)

    def _publish_delta(self, channel: Channel, offset: int, text: str, token_ids: tuple[int, ...]) -> None:
        self.session.publish(DeltaEvent(id=self.id, channel=channel, offset=offset, message=text))
        self._recorder.piece(self.session, Piece(channel, text, token_ids))

    # The end

    def _finish(self, reason: FinishReason, done: Done) -> None:
        self._text.flush()
        tokens = done.usage.completion_tokens
        usage = replace(done.usage, completion_tokens=tokens + self.prompt.tokens_before)
        self._conclude(
            AiEvent(
                id=self.id,
                parent_id=self.prompt.id,
                message=self.text,
                reasoning=self._text.text("reasoning") or None,
                finish_reason=reason,
                usage=_usage_info(usage),
                timings=self._watch.timings(done.timings, tokens),
                model=self.model,
                params=self.checkpoint.asked.params if self.checkpoint.asked is not None else self.prompt.params,
            )
        )

    def _fail(self, code: str, message: str, retry_after: float | None = None) -> None:
        if not self.over:
            self._text.flush()
            log_failure(self.id, code, message)
            said = {"id": self.id, "code": code, "message": message, "retry_after": retry_after}
            self._conclude(ErrorEvent.model_validate(said))

    def _conclude(self, event: AiEvent | ErrorEvent) -> None:
        """Publish the end. Only then is it over: an end that cannot be published leaves room for another."""
        self.session.publish(event)
        self._stop()
        self._recorder.ended(self.session, self.id)
        self._ended()

    def _stop(self) -> None:
        self.over = True
        self._text.close()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self.session.settle(self.id)

    def _usage(self) -> Usage:
        prompt_tokens = self.checkpoint.asked.prompt_tokens if self.checkpoint.asked is not None else 0
        return Usage(prompt_tokens, self._cached, self._watch.tokens)

    # While no text comes

    def _tick(self) -> None:
        """Say how far it is, when nothing else was said for a while."""
        if self._clock.now() - self.session.active_at >= PROGRESS_EVERY_S / 2:
            self._show_progress()
        self._ticker = self._clock.call_later(PROGRESS_EVERY_S, self._tick)

    def _show_progress(self) -> None:
        at = self._progress or Progress("decoding", self._watch.tokens)
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


def _texts(answer: Node | None) -> dict[Channel, str]:
    if answer is None:
        return {}
    return {"content": str(answer.content), "reasoning": str(answer.reasoning)}


def _usage_info(usage: Usage) -> UsageInfo:
    return UsageInfo(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
    )
