"""`GET /api/stream/{session_id}`: a conversation as server-sent events, for pages with an `EventSource` and for `curl`.

Knows HTTP and the hub. What is said is the session's matter; how it looks as events is `server.event_stream`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.caller import Caller, caller_of
from server.connections import ConnectionManager
from server.disconnect import unless_disconnected
from server.event_stream import BadPlace, EventEncoder, MessageEvents, Place, Portion, TextEvents
from server.hello import hello
from server.hub import Hub
from server.opening import opened
from server.protocol import encode
from server.refusals import refusal
from server.session import BadResume, Session
from server.sse import EventStream
from server.subscriber import Subscriber, TooSlow

PREFIX = "/api/stream"
PING_EVERY_S = 15.0  # sooner than proxies lose patience
MOST_PAUSE_S = 1.0  # who has missed much does not wait for each pause that there was
MOST_HELD_BACK = 1_000  # portions
RETRY_MS = 1_000  # how soon an EventSource comes back

log = structlog.get_logger()


def stream_router(hub: Hub, ping_every_s: float = PING_EVERY_S) -> APIRouter:
    """`GET /api/stream/{session_id}`, over `hub`."""
    router = APIRouter(prefix=PREFIX, tags=["stream"])

    @router.get("/{session_id}", response_class=Response)
    async def stream_session(
        request: Request,
        session_id: str,
        format: Literal["text", "json"] = "text",
        last_event_id: str = "",
        newer_event_id: Annotated[str, Header(alias="last-event-id")] = "",
    ) -> Response:
        """Follow a conversation, from the event id on that an EventSource sends by itself, or that the address has."""
        caller = caller_of(request.scope)
        session = await opened(hub, session_id, caller.owner)
        try:
            place = Place.read(told) if (told := newer_event_id or last_event_id) else None
            subscriber = session.subscribe(place.seq, place.epoch) if place is not None else session.subscribe()
        except BadPlace as bad:
            return refusal(PREFIX, 400, str(bad))
        except BadResume:
            return refusal(PREFIX, 400, "That event id is ahead of the conversation.")
        if format == "json":
            await subscriber.reply(encode(hello(hub, session, subscriber)))
            return Following(caller, subscriber, MessageEvents(session.epoch), hub.connections, ping_every_s)
        return Following(caller, subscriber, text_events(session, place), hub.connections, ping_every_s)

    return router


def text_events(session: Session, place: Place | None) -> TextEvents:
    """The encoder for a client of texts that is at `place` of `session`."""

    def text_of(answer: str) -> str:
        return str(session.state.nodes[answer].content) if answer in session.state.nodes else ""

    return TextEvents(session.epoch, place, text_of)


class Following(Response):
    """An answer that lasts until its client leaves, reads too slowly, or the server goes down."""

    def __init__(
        self,
        caller: Caller,
        subscriber: Subscriber,
        encoder: EventEncoder,
        connections: ConnectionManager,
        ping_every_s: float,
    ) -> None:
        self.background = None
        self.caller = caller
        self.subscriber = subscriber
        self._encoder = encoder
        self._connections = connections
        self._ping_every_s = ping_every_s
        self._portions: deque[Portion] = deque()
        self._closed = False
        self._patience: asyncio.Timeout | None = None
        subscriber.on_too_slow = self.close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        self._connections.join(self)
        try:
            await unless_disconnected(receive, self._write(EventStream(send)))
        except asyncio.CancelledError:
            log.info("a stream was cut off, since the server is stopping")
        finally:
            self._leave()

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the stream without a word of why: its client comes back by itself, to where it was. Never waits."""
        del code, reason
        self._closed = True
        if self._patience is not None:
            self._patience.reschedule(0)  # the writer may be stuck in a send that the client's silence holds up

    async def _write(self, stream: EventStream) -> None:
        with suppress(TimeoutError, TooSlow):
            try:
                async with asyncio.timeout(0 if self._closed else None) as self._patience:
                    await self._tell(stream)
            finally:
                self._patience = None  # also when the client has left: there is nothing left to interrupt
        self._leave()
        with suppress(TimeoutError):  # a client that takes nothing at all is the connection's matter
            await stream.end()

    def _leave(self) -> None:
        self.subscriber.close()
        self._connections.leave(self)

    async def _tell(self, stream: EventStream) -> None:
        await stream.events(f"retry: {RETRY_MS}\n\n".encode())
        async with stream.kept_alive(self._ping_every_s):
            while True:
                self._take(await self.subscriber.frames())
                patience_s = MOST_PAUSE_S
                while self._portions:
                    pause_s = min(self._portions[0].after_s, patience_s)
                    patience_s -= pause_s
                    await self._pause(pause_s)
                    await stream.events(self._at_once())

    def _take(self, frames: Iterable[str]) -> None:
        for frame in frames:
            self._portions += self._encoder.encode(frame)

    async def _pause(self, seconds: float) -> None:
        """What comes meanwhile is taken in, as far as that is not too much: who is held back by us is not slow."""
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while len(self._portions) < MOST_HELD_BACK:
                        self._take(await self.subscriber.frames())

    def _at_once(self) -> bytes:
        events = [self._portions.popleft().events]
        while self._portions and not self._portions[0].after_s:
            events.append(self._portions.popleft().events)
        return b"".join(events)
