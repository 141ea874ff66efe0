"""The history: conversations written, read, listed, found, hidden and purged.

Everybody else goes through this class. Every call names an owner and sees that owner's conversations alone. Whatever
the database does, what leaves here is a HistoryError with a sentence for a person.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import RowMapping, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.history import rows, writing
from server.history.cursors import cursor_after, place_of
from server.history.database import BUSY_MS, parse_url
from server.history.failures import lies_in_the_content, lies_in_the_index
from server.history.opening import Opened, open_database
from server.history.records import About, Change, Found, HistoryError, Page, Stored
from server.history.search import find
from server.history.tables import messages, pieces, queue, runs, sessions

T = TypeVar("T")
PURGED_AT_ONCE = 100  # conversations a transaction, so that nobody waits long for their turn to write


class History:
    """An open history. `notices` is what people should know of its opening."""

    def __init__(self, opened: Opened, clock: Callable[[], float] = time.time) -> None:
        self.notices: Sequence[str] = opened.notices
        self._database = opened.database
        self._release = opened.release
        self._clock = clock

    @classmethod
    async def open(cls, url: str, folder: Path, *, busy_ms: int = BUSY_MS) -> Self:
        """Open the database that `url` names; SQLite's relative paths are taken from `folder`.

        `busy_ms`: how long to wait for another program that has the SQLite file locked. Raises HistoryError when the
        history cannot be opened now.
        """
        return cls(await open_database(parse_url(url, folder), busy_ms))

    async def close(self) -> None:
        await self._database.close()
        self._release()

    # Writing

    async def write(self, changes: Sequence[Change]) -> None:
        """Write all of `changes` in one transaction. Raises HistoryError, and then nothing was written.

        Only where a change itself cannot be written, the others still are, each by itself.
        """
        try:
            await self._mending(lambda: self._write(changes))
        except HistoryError as error:
            if len(changes) == 1 or not lies_in_the_content(error):
                raise
            await self._write_each(changes)

    async def _write(self, changes: Sequence[Change]) -> None:
        batches = await asyncio.to_thread(lambda: list(writing.batches(changes)))
        async with self._database.writing() as connection:
            for batch in batches:
                await writing.write(connection, batch)

    async def _write_each(self, changes: Sequence[Change]) -> None:
        refused: HistoryError | None = None
        for change in changes:
            try:
                await self._write([change])
            except HistoryError as error:
                if not lies_in_the_content(error):
                    raise
                refused = error
        if refused is not None:
            raise refused

    async def update(
        self,
        owner: str,
        session_id: str,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> About | None:
        """Change what is named, and give the conversation as it is now; None when there is no such conversation."""
        values: dict[str, Any] = {}
        if title is not None:
            values |= {"title": title, "titled": True}
        if pinned is not None:
            values["pinned"] = pinned
        if settings is not None:
            values["settings"] = dict(settings)
        async with self._database.writing() as connection:
            if values:
                await connection.execute(update(sessions).where(*_shown(owner, session_id)).values(values))
            about = await _about(connection, owner, session_id)
            if about and title is not None:
                await writing.write(connection, writing.Batch(entries=[rows.title_row(about)]))
        return about

    async def delete(self, owner: str, session_id: str) -> bool:
        """Hide the conversation until it is restored or purged. Whether there was one to hide."""
        hide = update(sessions).where(*_shown(owner, session_id)).values(deleted_at=self._clock())
        async with self._database.writing() as connection:
            return (await connection.execute(hide)).rowcount > 0

    async def restore(self, owner: str, session_id: str) -> About | None:
        """Show a hidden conversation again. One that was not hidden stays as it is."""
        show = update(sessions).where(sessions.c.owner == owner, sessions.c.id == session_id).values(deleted_at=None)
        async with self._database.writing() as connection:
            await connection.execute(show)
            return await _about(connection, owner, session_id)

    async def purge(self, before: float) -> int:
        """Delete for good what was hidden before that time, of all owners. How many conversations that were."""
        old = select(sessions.c.owner, sessions.c.id).where(sessions.c.deleted_at < before).limit(PURGED_AT_ONCE)
        purged = 0
        while True:
            async with self._database.writing() as connection:
                gone = await connection.execute(
                    delete(sessions).where(tuple_(sessions.c.owner, sessions.c.id).in_(old))
                )
            purged += gone.rowcount
            if gone.rowcount < PURGED_AT_ONCE:
                return purged

    async def _mending(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`; and if the index for the search is found to be damaged, once more when that has been mended."""
        try:
            return await work()
        except HistoryError as error:
            if not lies_in_the_index(error):
                raise
        await self._database.rebuild_index()
        return await work()

    # Reading

    async def load(self, owner: str, session_id: str) -> Stored | None:
        """The whole conversation; None when it is unknown or hidden."""
        async with self._database.reading() as connection:
            found = (await connection.execute(select(sessions).where(*_shown(owner, session_id)))).mappings().first()
            if found is None:
                return None
            key = {"owner": owner, "session_id": session_id}
            said = select(messages).filter_by(**key).order_by(messages.c.position)
            waiting = select(queue.c.prompt).filter_by(**key).order_by(queue.c.position)
            running = select(runs).filter_by(**key)
            told = (await connection.execute(said)).mappings().all()
            prompts = (await connection.execute(waiting)).scalars().all()
            run = (await connection.execute(running)).mappings().first()
            text: Sequence[RowMapping] = ()
            if run:
                parts = select(pieces).filter_by(**key, run=run["id"]).order_by(pieces.c.number)
                text = (await connection.execute(parts)).mappings().all()
        return await asyncio.to_thread(
            lambda: Stored(
                rows.about_of(found),
                found["head"],
                [rows.message_of(row) for row in told],
                prompts,
                rows.run_of(run) if run else None,
                [rows.piece_of(row) for row in text],
            )
        )

    async def about(self, owner: str, session_id: str) -> About | None:
        async with self._database.reading() as connection:
            return await _about(connection, owner, session_id)

    async def unfinished(self) -> list[tuple[str, str]]:
        """Owners and ids of the conversations in which an answer runs or something waits."""
        key = sessions.c.owner, sessions.c.id
        busy = or_(*(tuple_(*key).in_(select(table.c.owner, table.c.session_id)) for table in (runs, queue)))
        statement = select(*key).where(sessions.c.deleted_at.is_(None), busy).order_by(sessions.c.updated_at)
        async with self._database.reading() as connection:
            return [(owner, session_id) for owner, session_id in await connection.execute(statement)]

    async def list(self, owner: str, *, limit: int = 50, before: str | None = None) -> Page:
        """A page of the conversations: pinned ones first, then what changed last. Raises BadCursor."""
        order = sessions.c.pinned, sessions.c.updated_at, sessions.c.id
        statement = select(sessions).where(sessions.c.owner == owner, sessions.c.deleted_at.is_(None))
        if before is not None:
            statement = statement.where(tuple_(*order) < place_of(before))
        statement = statement.order_by(*(column.desc() for column in order)).limit(limit + 1)
        async with self._database.reading() as connection:
            found = [rows.about_of(row) for row in (await connection.execute(statement)).mappings()]
        items = found[:limit]
        return Page(items, cursor_after(items[-1]) if len(found) > limit else None)

    async def search(self, owner: str, question: str, *, limit: int = 50) -> Sequence[Found]:
        """The conversations that hold what a person types, the best first. Words count from their beginning."""

        async def search() -> Sequence[Found]:
            async with self._database.reading() as connection:
                return await find(connection, owner, question, limit)

        return await self._mending(search)

    async def hidden(self, owner: str, session_ids: Sequence[str]) -> set[str]:
        """Those of the ids whose conversations were deleted and can be restored."""
        statement = select(sessions.c.id).where(
            sessions.c.owner == owner, sessions.c.id.in_(session_ids), sessions.c.deleted_at.is_not(None)
        )
        async with self._database.reading() as connection:
            return set((await connection.execute(statement)).scalars())

    async def ids_of_others(self, owner: str) -> set[str]:
        """The conversations of everybody else, the hidden ones included."""
        async with self._database.reading() as connection:
            return set((await connection.execute(select(sessions.c.id).where(sessions.c.owner != owner))).scalars())

    async def ids(self, owner: str) -> Sequence[str]:
        """All conversations, the oldest first."""
        statement = (
            select(sessions.c.id)
            .where(sessions.c.owner == owner, sessions.c.deleted_at.is_(None))
            .order_by(sessions.c.created_at, sessions.c.id)
        )
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).scalars().all()


def _shown(owner: str, session_id: str) -> tuple[Any, ...]:
    return sessions.c.owner == owner, sessions.c.id == session_id, sessions.c.deleted_at.is_(None)


async def _about(connection: AsyncConnection, owner: str, session_id: str) -> About | None:
    row = (await connection.execute(select(sessions).where(*_shown(owner, session_id)))).mappings().first()
    return rows.about_of(row) if row else None
