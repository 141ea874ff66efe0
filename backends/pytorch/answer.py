"""One answer of the in-process engine: what its steps give, as events with times.

Lives on the event loop; knows nothing of models or threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from backends.base import BackendError, Done, Event, Progress, Text, Timings, Usage
from engine.output import StepOutput


class Answer:
    """Events as they come, until a `Done` or an error."""

    def __init__(self, arrived: float) -> None:
        """`arrived`: when the request came, by the monotonic clock."""
        self._arrived = arrived
        self._started: float | None = None
        self._first_token: float | None = None
        self._prefilled = 0
        self._tokens = 0
        self._textless: list[int] = []  # tokens whose text is not certain yet
        self._events: asyncio.Queue[Event | BackendError] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events up to the `Done`. Raises the error that ended the answer."""
        while True:
            event = await self._events.get()
            if isinstance(event, BackendError):
                raise event
            yield event
            if isinstance(event, Done):
                return

    def fail(self, error: BackendError) -> None:
        self._events.put_nowait(error)

    def wait_in_line(self, place: int) -> None:
        """It is this request's turn after `place - 1` others."""
        self._events.put_nowait(Progress("queued", position=place))

    def take(self, output: StepOutput, step_started: float) -> None:
        """Turn what a step gave into events."""
        now = time.monotonic()
        if self._started is None:
            self._started = step_started
        if output.prefilled != self._prefilled:
            self._prefilled = output.prefilled
            self._events.put_nowait(Progress("prefill", output.prefilled, output.prompt_tokens))
        if output.new_token_ids:
            self._take_tokens(output, now)
        if output.finish_reason is not None:
            usage = Usage(output.prompt_tokens, completion_tokens=self._tokens)
            self._events.put_nowait(Done(output.finish_reason, usage, self._timings(now)))

    def _take_tokens(self, output: StepOutput, now: float) -> None:
        if self._first_token is None:
            self._first_token = now
        self._tokens += len(output.new_token_ids)
        self._textless += output.new_token_ids
        if output.text:
            self._events.put_nowait(Text(output.text, tuple(self._textless)))
            self._textless.clear()

    def _timings(self, now: float) -> Timings:
        assert self._started is not None
        assert self._first_token is not None
        decoding = now - self._first_token
        return Timings(
            queued_ms=(self._started - self._arrived) * 1000,
            ttft_ms=(self._first_token - self._arrived) * 1000,
            total_ms=(now - self._arrived) * 1000,
            tokens_per_second=(self._tokens - 1) / decoding if decoding > 0 else None,
        )
