"""A backend that does what the prompt says, so that a test can have any answer, at any pace, with any failure."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from backends.base import (
    Backend,
    BackendFailed,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Loading,
    ModelInfo,
    ModelInvalid,
    Overloaded,
    Progress,
    Reasoning,
    Stats,
    StatsChanged,
    Text,
    Timings,
    Usage,
)

FAILURES = {"unreachable": BackendUnreachable, "broken": BackendFailed, "overloaded": Overloaded}
PIECE_SIZES = (1, 2, 3, 5, 7)


class ScriptedBackend(Backend):
    """What each prompt does:

    `count to 40`          the numbers, one a token, with pauses
    `count to 40 quickly`  the same without pauses
    `wait`                 progress of every phase, and no text until it is stopped
    `fail broken`          some words, then that failure; `fail overloaded at once`: no words before it
    `flood *`              a megabyte of what follows, in large pieces
    `think`                thinking first
    anything else          is repeated, cut into small pieces

    Its numbers and its pieces are tokens: it goes on with an answer that has begun, and with one that was cut.
    """

    name = "scripted"
    continues = resumes = True

    def __init__(self) -> None:
        self._running = self._finished = 0

    def stats(self) -> Stats:
        """Of an engine whose every answer takes an eighth of its memory, and of whose reading a quarter was saved."""
        return Stats(
            "fluent",
            running=self._running,
            waiting=0,
            slots=4,
            blocks_used=8 * self._running,
            blocks_cached=min(self._finished, 16),
            blocks_free=64 - 8 * self._running - min(self._finished, 16),
            prompt_tokens=400 * self._finished,
            cached_tokens=100 * self._finished,
            tokens_per_second=40.0 * self._running or None,
        )

    async def list_models(self) -> Sequence[ModelInfo]:
        return [
            ModelInfo(
                "fluent",
                size=98_000_000,
                quantization="Q4_1",
                context_length=8192,
                capabilities=("completion", "continue"),
            ),
            ModelInfo(
                "other",
                state="available",
                size=4_100_000_000,
                quantization="Q4_K_M",
                context_length=32_768,
                temperature=0.2,
            ),
            ModelInfo("damaged", state="available", size=1_600_000_000),
            ModelInfo("away", state="unreachable", reason="Nothing answers at its address."),
        ]

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        total = 4_100_000_000
        for part in range(4):
            yield Loading(model, "loading", done=part * total // 4, total=total)
            await asyncio.sleep(0.15)
        if model == "damaged":
            raise ModelInvalid("The file is cut off.")
        yield Loading(model, "ready", done=total, total=total)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self._running += 1
        self.notify(StatsChanged())
        try:
            async with aclosing(self._answer(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._running, self._finished = self._running - 1, self._finished + 1
            self.notify(StatsChanged())

    async def _answer(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        prompt = request.messages[-1].content if request.messages else ""
        began = time.monotonic()
        tokens = len(request.resume_token_ids)
        async for event in self._events(prompt, request.resume_text, tokens):
            if isinstance(event, Text):
                tokens += 1
                if request.params.max_tokens is not None and tokens > request.params.max_tokens:
                    tokens -= 1
                    yield Done("length", Usage(len(prompt), 0, tokens), _timings(began, tokens))
                    return
            yield event
        yield Done("stop", Usage(len(prompt), len(prompt) // 2, tokens), _timings(began, tokens))

    async def _events(self, prompt: str, begun: str, tokens: int) -> AsyncGenerator[Event, None]:
        """What is said after the text that has `begun`, and after so many `tokens` of it."""
        if match := re.fullmatch(r"count to (\d+)( quickly)?", prompt):
            yield Progress("prefill", done=12, total=12)
            for number in range(len(begun.split()) + tokens + 1, int(match[1]) + 1):
                yield Text(f"{number} ", token_ids=(number,))
                await asyncio.sleep(0 if match[2] else 0.025)
        elif prompt == "wait":
            async for event in _waiting():
                yield event
        elif match := re.fullmatch(r"fail (\w+)( at once)?", prompt):
            if not match[2]:
                yield Text("This much ")
                yield Text("came.")
            raise FAILURES[match[1]]("Error connecting to engine." if match[1] == "unreachable" else "It broke.")
        elif prompt.startswith("flood "):
            flood = prompt.removeprefix("flood ") or " "
            for _ in range(64):
                yield Text((flood * (16_384 // len(flood) + 1))[:16_384])
                await asyncio.sleep(0)
        elif prompt == "think":
            yield Reasoning("Let me see. ")
            yield Reasoning("It is simple.")
            yield Text("It is four.")
        else:
            for number, piece in enumerate(_pieces(prompt.removeprefix(begun))[tokens:]):
                yield Text(piece, token_ids=(number,))
                await asyncio.sleep(0.002)


async def _waiting() -> AsyncGenerator[Event, None]:
    yield Progress("queued", position=3)
    await asyncio.sleep(0.3)
    yield Progress("loading", done=62, total=100)
    await asyncio.sleep(0.3)
    for _ in range(600):
        yield Progress("prefill", done=512, total=2048, cached=128)
        await asyncio.sleep(0.1)


def _pieces(text: str) -> list[str]:
    pieces, at = [], 0
    while at < len(text):
        size = PIECE_SIZES[len(pieces) % len(PIECE_SIZES)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


def _timings(began: float, tokens: int) -> Timings:
    took = max(time.monotonic() - began, 1e-6)
    return Timings(queued_ms=0.0, ttft_ms=12.0, total_ms=took * 1000, tokens_per_second=tokens / took)
