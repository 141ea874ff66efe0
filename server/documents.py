"""Conversations as documents: one or all of them exported, those of a document imported.

Takes them from the history and puts them there, one at a time, so that memory is bounded by the largest; reading and
writing documents happens in other threads. Knows nothing of HTTP; what documents look like is `server.exchange`'s.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from server.exchange import own
from server.exchange.bundle import Bundle
from server.exchange.draft import DocumentError, Draft, Problem, fingerprint
from server.exchange.files import file_name
from server.exchange.markdown import markdown
from server.exchange.reading import read
from server.history.records import About, Change, HistoryError, MessageRecord, Stored
from server.history.store import History

Format = Literal["json", "markdown"]

PIECE_BYTES = 65_536  # of an export, sent at once
BATCH_MESSAGES = 500  # of an import, stored at once: the loop has no time for more
MAX_PROBLEMS = 100  # told of one import
LISTED_AT_ONCE = 500


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
        arrivals = _Arrivals(await self._history(), owner, self._in_memory, self._show)
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


class _Arrivals:
    """The conversations of one document, each given its place and stored."""

    def __init__(
        self, history: History, owner: str, in_memory: Callable[[str], bool], show: Callable[[About], None]
    ) -> None:
        self._history = history
        self._owner = owner
        self._in_memory = in_memory
        self._show = show
        self._known: set[tuple[str, str]] = set()  # source and fingerprint of what was imported before
        self._waiting: list[Change] = []
        self._messages = 0
        self._arrived: list[About] = []

    async def look_around(self) -> None:
        """Learn what earlier imports brought, so that the same export can be imported again each month."""
        before: str | None = None
        while True:
            page = await self._history.list(self._owner, limit=LISTED_AT_ONCE, before=before)
            for about in page.items:
                origin = about.settings.get("imported")
                if isinstance(origin, dict):
                    self._known.add((str(origin.get("from")), str(origin.get("fingerprint"))))
            if page.next is None:
                return
            before = page.next

    async def add(self, draft: Draft) -> bool:
        """Give `draft` its place. False when it is here already."""
        print_ = await asyncio.to_thread(fingerprint, draft.messages)
        if (draft.source, print_) in self._known:
            return False
        standing = await self._standing(draft.about.id, print_)
        if standing == "free":
            self._take(draft, draft.about)
        elif standing == "taken":
            origin = {"from": draft.source, "id": draft.source_id, "fingerprint": print_}
            self._known.add((draft.source, print_))
            settings = {**draft.about.settings, "imported": origin}
            self._take(draft, replace(draft.about, id=secrets.token_hex(16), settings=settings))
        return standing != "here"

    def _take(self, draft: Draft, about: About) -> None:
        """Let `draft` wait to be stored. A long one is several changes, which are stored one after the other."""
        about = replace(about, owner=self._owner)
        records = [MessageRecord(number, message) for number, message in enumerate(draft.messages)]
        for start in range(0, len(records), BATCH_MESSAGES):
            self._waiting.append(Change(about, draft.head, records[start : start + BATCH_MESSAGES]))
        self._messages += len(records)
        self._arrived.append(about)

    async def store_when_many(self) -> Sequence[str]:
        """Store what waits, if that is enough for a transaction. Gives the ids of what came in."""
        return await self.store() if self._messages >= BATCH_MESSAGES else ()

    async def store(self) -> Sequence[str]:
        """Store what waits, all of it or nothing. Gives the ids of what came in."""
        waiting, self._waiting, self._messages = self._waiting, [], 0
        arrived, self._arrived = self._arrived, []
        if waiting:
            await self._history.write(waiting)
        for about in arrived:
            self._show(about)
        return [about.id for about in arrived]

    async def _standing(self, own_id: str, print_: str) -> Literal["free", "taken", "here", "back"]:
        """How it stands with a conversation's own id. `back`: it was here, deleted, and can be had back."""
        if not own_id or any(about.id == own_id for about in self._arrived):
            return "taken"
        stored = await self._history.load(self._owner, own_id)
        if stored is not None:
            return "here" if await _same(stored, print_) else "taken"
        about = await self._history.restore(self._owner, own_id)
        if about is None:
            return "taken" if self._in_memory(own_id) else "free"
        stored = await self._history.load(self._owner, own_id)
        if stored is not None and await _same(stored, print_):
            self._arrived.append(about)
            return "back"
        await self._history.delete(self._owner, own_id)
        return "taken"


async def _same(stored: Stored, print_: str) -> bool:
    return await asyncio.to_thread(lambda: fingerprint(own.told(stored))) == print_


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
