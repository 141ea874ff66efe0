"""The open sockets: one reader and one writer task each, notices to all, an orderly close. Event streams count, too.

Knows nothing of commands or of what frames mean: they come from a subscriber, and what a client says goes to a handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.caller import Caller, caller_of
from server.frames import EXTENSION, WriteFrames, text_frame
from server.protocol import (
    CloseCode,
    EngineMessage,
    LoadingMessage,
    ModelsMessage,
    SessionMessage,
    SystemMessage,
    encode,
)
from server.session import Session
from server.subscriber import Subscriber, TooSlow

CLOSE_TIMEOUT_S = 10.0
AT_ONCE = 64  # sockets a notice goes to before others have their turn on the loop
SERVER_FAULT = 1011

log = structlog.get_logger()

Handler = Callable[["str | None"], Awaitable[None]]  # given a frame's text; None for a frame that is not text


class Connection:
    """One open socket and its subscriber. It lasts until the client leaves or `close` is called."""

    def __init__(self, websocket: WebSocket, subscriber: Subscriber, *, lists: bool = False) -> None:
        """`lists`: the client shows the list of conversations."""
        self.websocket = websocket
        self.caller = caller_of(websocket.scope)
        self.lists = lists
        self.subscriber = subscriber
        self._closing: tuple[int, str] | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        subscriber.on_too_slow = lambda: self.close(CloseCode.TOO_SLOW)

    def close(self, code: int, reason: str = "") -> None:
        """Read and write no more, and tell the client why. The first reason counts. Never waits."""
        if self._closing is None:
            self._closing = (code, reason)
        for task in self._tasks:
            task.cancel()  # the writer may be stuck in a send that the client's silence holds up

    async def run(self, handle: Handler) -> None:
        """Send what the subscriber has and handle what the client says, until the connection ends."""
        try:
            if self._closing is None:  # else it was to be closed before it had begun
                async with asyncio.TaskGroup() as group:
                    writer = group.create_task(self._write())
                    self._tasks = (group.create_task(self._read(handle, writer)), writer)
        finally:
            self.subscriber.close()
            self._tasks = ()  # they know us: the collector would have to find out that nobody else does
        if self._closing is not None:
            with suppress(WebSocketDisconnect, TimeoutError):  # the client is gone, or does not read
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.websocket.close(*self._closing)

    async def _read(self, handle: Handler, writer: asyncio.Task[None]) -> None:
        """There is always a reader, or the client's pongs would not be seen either."""
        try:
            while (message := await self.websocket.receive())["type"] == "websocket.receive":
                await handle(message.get("text"))
        except Exception:
            log.exception("a frame could not be handled")
            self.close(SERVER_FAULT)
        finally:
            writer.cancel()

    async def _write(self) -> None:
        with suppress(WebSocketDisconnect, OSError, TooSlow):  # the reader hears of the first; the second closes us
            while True:
                await self._send(await self.subscriber.frames())

    async def _send(self, frames: list[str]) -> None:
        write: WriteFrames | None = self.websocket.scope["extensions"].get(EXTENSION)
        if write is not None:
            await write(b"".join(map(text_frame, frames)))
            return
        for frame in frames:
            await self.websocket.send({"type": "websocket.send", "text": frame})


class Follower(Protocol):
    """Whoever a subscriber's frames go to, and who can be sent away."""

    caller: Caller
    subscriber: Subscriber

    def close(self, code: int, reason: str = "") -> None: ...


class ConnectionManager:
    """All open sockets, and the event streams beside them."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []
        self.welcomes: Callable[[Caller], bool] = lambda _: True  # whether what let a caller in is still good
        self._connections: dict[WebSocket, Connection] = {}
        self._streams: dict[Follower, None] = {}
        self._notices: dict[str, str] = {}  # the latest of each kind
        self._farewell: tuple[int, str] | None = None  # what everybody is being sent away with
        self._empty = asyncio.Event()
        self._empty.set()

    async def connect(self, websocket: WebSocket) -> None:
        """Accept `websocket`. From now on it is one of the active ones."""
        await websocket.accept()
        self.active_connections.append(websocket)
        self._empty.clear()

    def disconnect(self, websocket: WebSocket) -> None:
        """Forget `websocket`. A second time changes nothing."""
        if websocket in self.active_connections:
            self.active_connections.remove(websocket)
            self._connections.pop(websocket, None)
        self._settle()

    def join(self, stream: Follower) -> None:
        """Count an event stream among what is open."""
        self._streams[stream] = None
        self._empty.clear()
        self._look_at(stream)

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        return len(self._streams)

    def leave(self, stream: Follower) -> None:
        """An event stream has ended."""
        self._streams.pop(stream, None)
        self._settle()

    def _settle(self) -> None:
        if not self.active_connections and not self._streams:
            self._empty.set()

    def attach(self, websocket: WebSocket, subscriber: Subscriber, *, lists: bool = False) -> Connection:
        """Join an accepted socket with the subscriber that it sends for. `lists`: it is told of all conversations."""
        connection = self._connections[websocket] = Connection(websocket, subscriber, lists=lists)
        self._look_at(connection)
        return connection

    def _look_at(self, new: Follower) -> None:
        """Send away who came while others like them were being sent away."""
        if self._farewell is not None:
            new.close(*self._farewell)
        elif not self.welcomes(new.caller):
            new.close(CloseCode.UNAUTHORIZED)

    async def send_message(self, text: str, websocket: WebSocket) -> None:
        """Send `text` to one socket, in turn with whatever else it is sent."""
        await self._connections[websocket].subscriber.reply(text)

    def broadcast(self, message: ModelsMessage | LoadingMessage | EngineMessage | SystemMessage) -> None:
        """Show `message` to everybody. One that reads slowly gets the latest of each kind. Never waits."""
        match message:
            case LoadingMessage() | EngineMessage():
                key = f"{message.type} {message.model}"
            case SystemMessage():
                key = f"{message.type} {message.state}"
            case _:
                key = message.type
        self._notices[key] = encode(message)
        self._show(key, (*self._connections.values(), *self._streams))

    def show_line(self, line: SessionMessage, owner: str) -> None:
        """Show a line of the list of conversations to those of their owner who show that list. Never waits."""
        frame, key = encode(line), f"{line.type} {line.id}"
        for connection in self._connections.values():
            if connection.lists and connection.subscriber.session.about.owner == owner:
                connection.subscriber.transient(key, frame)

    def close_session(self, session: Session, code: int) -> None:
        """Send away whoever follows one conversation. Never waits."""
        for connection in (*self._connections.values(), *self._streams):
            if connection.subscriber.session is session:
                connection.close(code)

    def send_away(self, whom: Callable[[Caller], bool], code: int) -> None:
        """Send away all of those callers. Never waits."""
        for connection in (*self._connections.values(), *self._streams):
            if whom(connection.caller):
                connection.close(code)

    def _show(self, key: str, connections: tuple[Follower, ...]) -> None:
        """In portions: to wake a thousand writers at once would hold up every answer."""
        for connection in connections[:AT_ONCE]:
            connection.subscriber.transient(key, self._notices[key])
        if rest := connections[AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._show, key, rest)

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every socket with `code`, end every stream, and wait until they are closed, or will not be.

        Whoever comes meanwhile is sent away as well.
        """
        self._farewell = (code, reason)
        for connection in (*self._connections.values(), *self._streams):
            connection.close(code, reason)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._empty.wait()
        finally:
            self._farewell = None
