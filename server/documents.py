"""Conversations as documents: one or all of them exported, those of a document imported.

Takes them from the history and puts them there, one at a time, so that memory is bounded by the largest; reading and
writing documents happens in other threads. Knows nothing of HTTP; what documents look like is `server.exchange`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from server.arrivals import Arrivals
from server.exchange import own
from server.exchange.bundle import Bundle
from server.exchange.draft import DocumentError, Problem
from server.exchange.files import file_name
from server.exchange.markdown import markdown
from server.exchange.reading import read
from server.history.records import About, HistoryError, Stored
from server.history.store import History

Format = Literal["json", "markdown"]

PIECE_BYTES = 65_536  # of an export, sent at once
MAX_PROBLEMS = 100  # told of one import


class ImportBusy(Exception):
    """Another import is going on: one at a time, since each may fill much memory."""


@dataclass(slots=True, frozen=True)
class Export:
    """A document on its way out: what it is called, what it is, and its bytes."""

    name: str
    media_type: str
    content: AsyncGenerator[bytes, None]


@dataclass(slots=True)
class Import:
    """What came of a document. `skipped`: conversations that were there already, or could not be taken."""

    sessions: list[str] = field(default_factory=list)
    skipped: int = 0
    problems: list[str] = field(default_factory=list)


class Documents:
    """Exports and imports of an owner's conversations."""

    def __init__(
        self,
        history: Callable[[], Awaitable[History]],
        in_memory: Callable[[str], bool],
        show: Callable[[About], None],
        today: Callable[[], float],
    ) -> None:
        """`history` gives the history with what happened up to now in it, or raises HistoryError.

        `in_memory`: whether a session of that id is open. `show` tells who watches the list of a new conversation.
        """
        self._history = history
        self._in_memory = in_memory
        self._show = show
        self._today = today
        self._importing = False

    # Exports

    async def export(self, owner: str, session_id: str, form: Format) -> Export | None:
        """One conversation; None when there is none of that id. Raises HistoryError."""
        stored = await (await self._history()).load(owner, session_id)
        if stored is None:
            return None
        if form == "markdown":
            content = (await asyncio.to_thread(markdown, stored)).encode("utf-8", "replace")
            return Export(file_name(stored.about.title, ".md"), "text/markdown; charset=utf-8", _pieces(content))
        content = await asyncio.to_thread(own.document, stored, self._today())
        return Export(file_name(stored.about.title, ".json"), "application/json", _pieces(content))

    async def export_all(self, owner: str, form: Format) -> Export:
        """Every conversation, the oldest first: in one document, or as a zip of one Markdown file each.

        Raises HistoryError, also while the content is taken.
        """
        history = await self._history()
        ids = await history.ids(owner)
        if form == "markdown":
            return Export("conversations.zip", "application/zip", _zip(history, owner, ids))
        return Export("conversations.json", "application/json", _document(history, owner, ids, self._today()))

    # Imports

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The turn of one import. Raises ImportBusy while another has it."""
        if self._importing:
            raise ImportBusy("Another import is going on. Try again when it has ended.")
        self._importing = True
        try:
            yield
        finally:
            self._importing = False

    async def import_(self, owner: str, data: bytes) -> Import:
        """Take in the conversations of a document. Those that are there already are left out.

        Raises DocumentError and HistoryError; their sentences say what had been taken in by then, which stays.
        """
        came_of_it = Import()
        try:
            await self._take_in(owner, data, came_of_it)
        except (DocumentError, HistoryError) as error:
            if came_of_it.sessions:
                raise type(error)(f"{error} {len(came_of_it.sessions):,} conversations came in before that.") from error
            raise
        return came_of_it

    async def _take_in(self, owner: str, data: bytes, came_of_it: Import) -> None:
        arrivals = Arrivals(await self._history(), owner, self._in_memory, self._show)
        await arrivals.look_around()
        outcomes = read(data, self._today())
        try:
            while (outcome := await asyncio.to_thread(next, outcomes, None)) is not None:
                if isinstance(outcome, Problem):
                    came_of_it.skipped += 1
                    came_of_it.problems += [outcome.reason] if len(came_of_it.problems) < MAX_PROBLEMS else []
                elif not await arrivals.add(outcome):
                    came_of_it.skipped += 1
                came_of_it.sessions += await arrivals.store_when_many()
        finally:
            came_of_it.sessions += await arrivals.store()


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    """`content` in pieces, between which others have their turn on the loop."""
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
        await asyncio.sleep(0)


async def _document(
    history: History, owner: str, ids: Sequence[str], exported_at: float
) -> AsyncGenerator[bytes, None]:
    yield own.opening(exported_at)
    comma = b""
    for session_id in ids:
        stored = await history.load(owner, session_id)
        if stored is not None:
            async for piece in _pieces(comma + await asyncio.to_thread(own.session_json, stored)):
                yield piece
            comma = b",\n"
    yield own.CLOSING


async def _zip(history: History, owner: str, ids: Sequence[str]) -> AsyncGenerator[bytes, None]:
    bundle = Bundle()

    def add(stored: Stored) -> bytes:
        bundle.add(file_name(stored.about.title, ""), ".md", markdown(stored), stored.about.updated_at)
        return bundle.taken()

    for session_id in ids:
        stored = await history.load(owner, session_id)
        if stored is not None:
            async for piece in _pieces(await asyncio.to_thread(add, stored)):
                yield piece
    bundle.end()
    async for piece in _pieces(bundle.taken()):
        yield piece
