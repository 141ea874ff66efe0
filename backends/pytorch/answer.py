"""What the in-process engine's steps give for one request, as events with times.

Lives on the event loop; knows nothing of models or threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from backends.base import BackendError, Done, Event, Progress, Text, Timings, TokenLogprob, Usage
from engine.output import StepOutput


@dataclass(slots=True)
class _Choice:
    """One of the answers that a request asks for."""

    tokens: int = 0  # written here
    first_token: float | None = None
    textless: list[int] = field(default_factory=list)  # tokens whose text is not certain yet
    logprobs: list[TokenLogprob] = field(default_factory=list)  # theirs


class Answer:
    """Events as they come, until each choice has its `Done`, or until an error."""

    def __init__(self, arrived: float, choices: int = 1, resumed: int = 0) -> None:
        """`arrived`: when the request came, by the monotonic clock. `resumed` tokens were written before that."""
        self._arrived = arrived
        self._resumed = resumed
        self._started: float | None = None
        self._prefilled = 0
        self._choices = [_Choice() for _ in range(choices)]
        self._events: asyncio.Queue[Event | BackendError] = asyncio.Queue()

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events up to the last `Done`. Raises the error that ended the answer."""
        running = len(self._choices)
        while running:
            event = await self._events.get()
            if isinstance(event, BackendError):
                raise event
            yield event
            running -= isinstance(event, Done)

    def fail(self, error: BackendError) -> None:
        self._events.put_nowait(error)

    def wait_in_line(self, place: int) -> None:
        """It is this request's turn after `place - 1` others."""
        self._events.put_nowait(Progress("queued", position=place))

    def take(self, output: StepOutput, step_started: float, logprobs: tuple[TokenLogprob, ...] = ()) -> None:
        """Turn what a step gave into events. `logprobs` are those of its new tokens, where they are asked for."""
        now = time.monotonic()
        if self._started is None:
            self._started = step_started
        if output.prefilled != self._prefilled and output.index == 0:  # the prompt is read once for all choices
            self._prefilled = output.prefilled
            total = output.prompt_tokens + self._resumed
            self._events.put_nowait(Progress("prefill", output.prefilled, total, output.cached))
        choice = self._choices[output.index]
        if output.new_token_ids:
            choice.logprobs += logprobs
            self._take_tokens(choice, output, now)
        if output.finish_reason is not None:
            usage = Usage(output.prompt_tokens, output.cached, self._resumed + choice.tokens)
            self._events.put_nowait(Done(output.finish_reason, usage, self._timings(choice, now), output.index))

    def _take_tokens(self, choice: _Choice, output: StepOutput, now: float) -> None:
        if choice.first_token is None:
            choice.first_token = now
        choice.tokens += len(output.new_token_ids)
        if choice.logprobs:
            self._take_scored(choice, output)
            return
        for token_id, text in zip(output.new_token_ids, output.texts, strict=True):
            choice.textless.append(token_id)
            if text:
                self._events.put_nowait(Text(text, tuple(choice.textless), index=output.index))
                choice.textless.clear()

    def _take_scored(self, choice: _Choice, output: StepOutput) -> None:
        choice.textless += output.new_token_ids
        if output.finish_reason == "stop" and not choice.logprobs[-1].data:
            choice.textless.pop()  # the token that ended it is no part of the text
            choice.logprobs.pop()
        if output.text or output.finish_reason == "length":
            scored = tuple(choice.logprobs) or None
            self._events.put_nowait(Text(output.text, tuple(choice.textless), scored, output.index))
            choice.textless.clear()
            choice.logprobs.clear()

    def _timings(self, choice: _Choice, now: float) -> Timings:
        assert self._started is not None
        first = choice.first_token  # None: it was resumed at its end, and nothing was written here
        decoding = now - first if first is not None else 0.0
        return Timings(
            queued_ms=(self._started - self._arrived) * 1000,
            ttft_ms=(first - self._arrived) * 1000 if first is not None else None,
            total_ms=(now - self._arrived) * 1000,
            tokens_per_second=(choice.tokens - 1) / decoding if decoding > 0 else None,
        )
