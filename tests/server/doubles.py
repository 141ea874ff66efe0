"""A backend that says what a test tells it to, a clock whose hands a test moves, a client that folds what it reads."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Sequence

from pydantic import TypeAdapter

from backends.base import (
    Backend,
    BackendError,
    Done,
    Event,
    GenerationRequest,
    Loading,
    ModelInfo,
    Text,
)
from server.clock import Clock, Timer
from server.fold import Conversation
from server.history.records import LOCAL, About
from server.protocol import AnyLogEvent, Snapshot
from server.subscriber import Subscriber

LOG_EVENT: TypeAdapter[AnyLogEvent] = TypeAdapter(AnyLogEvent)
PATIENCE_S = 10.0


class ManualClock(Clock):
    """Time stands still until `advance` is called."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._due: list[tuple[float, int, _Due]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def today(self) -> float:
        return 1_750_000_000.0 + self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = _Due(callback)
        heapq.heappush(self._due, (self._now + delay, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass; whatever falls due is called on the way."""
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._due)
            timer.fire()
        self._now = until

    @property
    def pending(self) -> int:
        """Timers that are still to come."""
        return sum(not timer.cancelled for _, _, timer in self._due)


def about(session_id: str = "s") -> About:
    """A conversation that has just begun."""
    return About(session_id, LOCAL, "", titled=False, pinned=False, created_at=0, updated_at=0)


class _Due:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self._callback()


class Puppet(Backend):
    """Says exactly what it is handed, to one request after the other, and notes what it was asked and what was cut."""

    name = "puppet"

    def __init__(self, *models: ModelInfo) -> None:
        self.models: Sequence[ModelInfo] | BackendError = models or (ModelInfo("toy"),)
        self.requests: list[GenerationRequest] = []
        self.cancelled: list[str] = []
        self.listed = 0
        self.loads: asyncio.Queue[Loading | Exception] = asyncio.Queue()
        self._lines: asyncio.Queue[Event | Exception] = asyncio.Queue()

    def say(self, *lines: str | Event | Exception) -> None:
        """Hand over the next events. A string is a piece of text of one token; an EOFError ends without a `Done`."""
        for line in lines:
            self._lines.put_nowait(Text(line, token_ids=(1,)) if isinstance(line, str) else line)

    async def list_models(self) -> Sequence[ModelInfo]:
        self.listed += 1
        if isinstance(self.models, BackendError):
            raise self.models
        return self.models

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        try:
            while True:
                line = await self._lines.get()
                if isinstance(line, EOFError):
                    return
                if isinstance(line, Exception):
                    raise line
                yield line
                if isinstance(line, Done):
                    return
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(request.request_id)
            raise

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        while True:
            step = await self.loads.get()
            if isinstance(step, Exception):
                raise step
            yield step
            if step.message == "ready":
                return


class Named(Puppet):
    """A second puppet, to stand beside the first."""

    name = "other"


class Client:
    """What a page keeps: the fold of the frames it read, and where it is in the log. Fails when an event is missing."""

    def __init__(self) -> None:
        self.state = Conversation()
        self.session = ""
        self.epoch = ""
        self.frames: list[dict[str, object]] = []

    @property
    def query(self) -> str:
        """What it asks for when it comes back."""
        return f"?session={self.session}&epoch={self.epoch}&after={self.state.seq}"

    def read(self, frame: str) -> dict[str, object]:
        """Take in one frame, as text."""
        data: dict[str, object] = json.loads(frame)
        self.frames.append(data)
        if data["type"] == "system" and "session" in data:
            self.session, self.epoch = str(data["session"]), str(data["epoch"])
        elif data["type"] == "snapshot":
            self.state = Conversation.from_snapshot(Snapshot.model_validate(data))
        elif "seq" in data and data["type"] != "ack":
            self.state.apply(LOG_EVENT.validate_python(data))
        return data

    def types(self) -> list[str]:
        return [str(frame["type"]) for frame in self.frames]

    def seqs(self) -> list[int]:
        return [
            int(str(frame["seq"]))
            for frame in self.frames
            if "seq" in frame and frame["type"] not in ("ack", "snapshot")
        ]

    def answers(self) -> list[str]:
        """The texts of all answers, finished or not."""
        return [str(node.content) for node in self.state.nodes.values() if node.role == "ai"]


class Reader(Client):
    """A client right at a subscriber, without a socket in between."""

    def __init__(self, subscriber: Subscriber) -> None:
        super().__init__()
        self.subscriber = subscriber
        self.session, self.epoch = subscriber.session.id, subscriber.session.epoch

    async def until(self, kind: str) -> dict[str, object]:
        """Read up to the next frame of that type."""
        async with asyncio.timeout(PATIENCE_S):
            while (data := self.read(await self.subscriber.frame()))["type"] != kind:
                pass
            return data

    async def until_end(self) -> dict[str, object]:
        """Read up to the next end of a run."""
        async with asyncio.timeout(PATIENCE_S):
            while (data := self.read(await self.subscriber.frame()))["type"] not in ("ai", "error"):
                pass
            return data

    async def drain(self) -> None:
        """Read all there is by now, without waiting for more."""
        while await self.step():
            pass

    async def step(self) -> bool:
        """Read one frame, if there is one."""
        next_frame = asyncio.ensure_future(self.subscriber.frame())
        await asyncio.sleep(0)  # a frame that is there is given without waiting
        if not next_frame.done():
            next_frame.cancel()
            return False
        self.read(await next_frame)
        return True


async def turn_over(times: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(times):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody announces. Fails when it never is."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
