"""Documents over a real history, for one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from server.documents import Documents, Export
from server.exchange.own import told
from server.history.records import LOCAL, About, Change, Stored
from server.history.store import History
from tests.server.exchange.conversations import ai, conversation, user

DATA = Path(__file__).parent / "exchange" / "data"
NOW = 1_800_000_000.0
TEA = conversation(user("q", "Tea?"), ai("a", "Yes.", "q", selected=False), ai("b", "No.", "q"))


@dataclass
class Desk:
    """Documents over a history of their own."""

    history: History
    documents: Documents
    open_sessions: set[str] = field(default_factory=set)
    shown: list[About] = field(default_factory=list)

    async def keep(self, *kept: Stored) -> None:
        await self.history.write([Change(each.about, each.head, each.messages) for each in kept])

    async def everything(self) -> list[tuple[About, int, list[object]]]:
        loaded = [await self.history.load(LOCAL, each) for each in await self.history.ids(LOCAL)]
        return [(each.about, each.head, list(told(each))) for each in loaded if each]


@asynccontextmanager
async def desk(folder: Path, url: str = "sqlite:///history.db") -> AsyncGenerator[Desk]:
    history = await History.open(url, folder)
    found: list[Desk] = []

    async def settled() -> History:
        return history

    documents_ = Documents(
        settled, lambda each: each in found[0].open_sessions, lambda about: found[0].shown.append(about), lambda: NOW
    )
    found.append(Desk(history, documents_))
    try:
        yield found[0]
    finally:
        await history.close()


async def content(export: Export | None) -> bytes:
    assert export is not None
    return b"".join([piece async for piece in export.content])


def run(folder: Path, work: Callable[[Desk], Awaitable[None]]) -> None:
    """Run `work(desk)` with a desk whose history lies in `folder`."""

    async def go() -> None:
        async with desk(folder) as at:
            await work(at)

    asyncio.run(go())
