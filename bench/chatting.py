"""A chat as a browser has it: one socket, one question after the other, and when each piece of an answer came."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

SILENCE_S = 120.0


@dataclass(slots=True)
class Answer:
    """One answer as it came. Times are of `time.perf_counter`, in seconds."""

    asked: float
    text: str = ""
    pieces: list[float] = field(default_factory=list)  # when each delta came
    flows: asyncio.Event = field(default_factory=asyncio.Event)  # its second piece has come
    ended: float = 0.0
    end: dict[str, Any] = field(default_factory=dict)  # the `ai` frame

    @property
    def whole(self) -> bool:
        """Whether the pieces make up the text that the server says it is, and the model came to an end."""
        return self.end.get("message") == self.text and self.end.get("finish_reason") in ("stop", "length")

    @property
    def tokens(self) -> int:
        return int(self.end["usage"]["completion_tokens"])

    @property
    def prompt_tokens(self) -> int:
        return int(self.end["usage"]["prompt_tokens"])

    @property
    def first_ms(self) -> float:
        """From the question to the first piece of the answer, or to the end of an empty one."""
        return (self.first - self.asked) * 1000

    @property
    def first(self) -> float:
        """When the first piece came, or the end of an empty answer."""
        return self.pieces[0] if self.pieces else self.ended

    @property
    def token_ms(self) -> float:
        """From one token to the next, on average."""
        return (self.ended - self.first) / max(1, self.tokens - 1) * 1000

    def pauses(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Milliseconds between one piece and the next, of the pauses that touch the time between the two."""
        return [(after - before) * 1000 for before, after in pairwise(self.pieces) if after > since and before < until]


class Chat:
    """One conversation on a socket of its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._seq = 0

    async def ask(self, message: str, max_tokens: int, answer: Answer | None = None) -> Answer:
        """Say something and read the whole answer, into `answer` while it comes. The likeliest token every time.

        Raises RuntimeError when the answer fails or an event is missing.
        """
        answer = answer or Answer(0.0)
        answer.asked = time.perf_counter()
        params = {"temperature": 0, "max_tokens": max_tokens}
        await self._socket.send(json.dumps({"type": "user", "message": message, "params": params}))
        async for frame in self._socket:
            now, event = time.perf_counter(), json.loads(frame)
            self._follow(event)
            if event["type"] == "delta":
                answer.pieces.append(now)
                if len(answer.pieces) > 1:
                    answer.flows.set()
                answer.text += event["message"]
            elif event["type"] == "ai":
                answer.end, answer.ended = event, now
                return answer
            elif event["type"] == "error":
                raise RuntimeError(event["message"])
        raise RuntimeError("The server closed the socket.")

    def _follow(self, event: dict[str, Any]) -> None:
        if "seq" in event and event["type"] != "ack":
            if event["seq"] != self._seq + 1:
                raise RuntimeError(f"Event {event['seq']} came after {self._seq}.")
            self._seq = event["seq"]


@asynccontextmanager
async def chat(url: str) -> AsyncGenerator[Chat]:
    """A new conversation."""
    async with connect(url, compression=None, max_queue=None, open_timeout=SILENCE_S) as socket:
        yield Chat(socket)
