"""The whole application in a thread of the test's process, on a history that was written before it starts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from app import create_app
from config import Settings
from server.history.records import LOCAL, About, Change, MessageRecord
from server.history.store import History
from server.hub import Hub
from server.protocol import SnapshotMessage, SystemMessage, UserCommand
from server.websocket_protocol import ChatSocketProtocol
from tests.browser.servers import ROOT, SCRIPTED, free_port

T = TypeVar("T")
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Kept:
    """A conversation of the history. `age` is how many seconds ago it changed; `said` are its messages in turn."""

    id: str
    title: str
    age: float = 0.0
    pinned: bool = False
    said: tuple[str, ...] = ()

    def change(self, now: float) -> Change:
        """What writes it."""
        at = now - self.age
        about = About(self.id, LOCAL, self.title, True, self.pinned, at, at)
        ids = [f"{self.id}-{position}" for position in range(len(self.said))]
        messages = [
            SnapshotMessage(
                id=ids[position],
                parent_id=ids[position - 1] if position else None,
                role="ai" if position % 2 else "user",
                message=text,
                finish_reason="stop" if position % 2 else None,
                at=at,
            )
            for position, text in enumerate(self.said)
        ]
        records = [MessageRecord(position, message) for position, message in enumerate(messages)]
        return Change(about, head=max(1, len(records)), messages=records)


class Host:
    """A server of the test's own, whose hub it can hold by the hand. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, kept: Sequence[Kept] = ()) -> None:
        self._database_url = f"sqlite:///{folder / 'history.db'}" if folder else "off"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        app = create_app(Settings(backends=[SCRIPTED], port=self.port, database_url=self._database_url))
        self._hub: Hub = app.state.hub
        self._kept = kept
        config = uvicorn.Config(app, port=self.port, ws=ChatSocketProtocol, log_config=None)
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> Host:
        """Start it and wait until it listens."""
        self._thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not self._server.started:
            assert time.monotonic() < deadline, "The server does not start."
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """End it as a signal would, and wait until it is gone."""
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "The server does not end."

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Do what another client does over HTTP. Gives the answer's JSON, if it has any."""
        response = httpx.request(method, f"{self.url}api/{path}", **options)
        response.raise_for_status()
        return response.json() if response.content else None

    def titles(self) -> list[str]:
        """What is listed."""
        return [line["title"] for line in self.ask("GET", "sessions")["sessions"]]

    def say(self, message: str, session_id: str | None = None) -> str:
        """Have another client say something, in a new conversation unless one is named. Gives the conversation's id."""

        async def say(hub: Hub) -> str:
            session = await hub.open(session_id)
            hub.ask(session, UserCommand(message=message))
            return session.id

        return self._do(say)

    def tell(self, message: SystemMessage) -> None:
        """Tell every page."""

        async def tell(hub: Hub) -> None:
            hub.connections.broadcast(message)

        self._do(tell)

    def _do(self, work: Callable[[Hub], Awaitable[T]]) -> T:
        async def do() -> T:
            return await work(self._hub)

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(PATIENCE_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._write_and_serve())
        self._loop.close()

    async def _write_and_serve(self) -> None:
        if self._kept:
            history = await History.open(self._database_url, ROOT)
            now = time.time()
            await history.write([one.change(now) for one in self._kept])
            await history.close()
        await self._server.serve()
