"""A batch of changes into one transaction: each kind of row in one statement for all conversations.

Every statement leaves the same rows when it is run a second time. Knows nothing of when something is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import Delete, Executable, Insert, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from server.history import rows
from server.history.records import Change
from server.history.rows import Row
from server.history.tables import entries, messages, pieces, queue, runs, sessions

_INSERT: dict[str, Callable[[Table], postgresql.Insert | sqlite.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


@dataclass(slots=True)
class Batch:
    """The rows of some changes, each of another conversation, in the order in which they are written."""

    sessions: list[Row] = field(default_factory=list)
    removed: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    queues: list[Row] = field(default_factory=list)
    queued: list[Row] = field(default_factory=list)
    ended: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    only: list[Row] = field(default_factory=list)
    pieces: list[Row] = field(default_factory=list)

    def add(self, change: Change) -> None:
        self.sessions.append(rows.session_row(change))
        self.removed.extend(rows.named_rows(change, change.removed))
        self.messages.extend(rows.message_rows(change))
        self.entries.extend(rows.entry_rows(change))
        if change.queue is not None:
            self.queues.append(rows.key(change))
            self.queued.extend(rows.queue_rows(change))
        self.ended.extend(rows.named_rows(change, change.ended))
        self.runs.extend(rows.run_rows(change))
        if change.run and change.first_piece == 0:  # it begins: no other goes on
            self.only.extend(rows.named_rows(change, [change.run.id]))
        self.pieces.extend(rows.piece_rows(change))


def batches(changes: Sequence[Change]) -> Iterator[Batch]:
    """The changes in as few batches as there can be: two changes of one conversation come one after the other."""
    batch, seen = Batch(), set[tuple[str, str]]()
    for change in changes:
        key = change.about.owner, change.about.id
        if key in seen:
            yield batch
            batch, seen = Batch(), set()
        seen.add(key)
        batch.add(change)
    yield batch


async def write(connection: AsyncConnection, batch: Batch) -> None:
    """Run the statements for `batch` in the transaction that `connection` is in."""
    for name, statement in _statements(connection.dialect.name):
        if parameters := getattr(batch, name):
            await connection.execute(statement, parameters)


@lru_cache
def _statements(dialect: str) -> Sequence[tuple[str, Executable]]:
    """What is run for which rows of a batch, in this order. Made once: making them takes longer than running them."""
    return (
        ("sessions", _upsert(sessions, dialect)),
        ("removed", _delete(messages, "id")),
        ("removed", _delete(entries, "message_id")),
        ("messages", _upsert(messages, dialect)),
        ("entries", _upsert(entries, dialect, "owner", "session_id", "message_id", if_other="words")),
        ("queues", _delete_all(queue)),
        ("queued", _upsert(queue, dialect)),
        ("ended", _delete(runs, "id")),
        ("only", _delete_others(runs, "id")),
        ("runs", _upsert(runs, dialect)),
        ("pieces", _upsert(pieces, dialect)),
    )


def _upsert(table: Table, dialect: str, *key: str, if_other: str | None = None) -> Insert:
    """Insert, or bring the row of the same key up to date; `if_other`: only when this column has another value."""
    key = key or tuple(table.primary_key.columns.keys())
    written = [column.name for column in table.columns if column.name not in {"deleted_at", *_generated(table)}]
    statement = _INSERT[dialect](table)
    fresh = {name: statement.excluded[name] for name in written if name not in key}
    where = table.c[if_other].is_distinct_from(statement.excluded[if_other]) if if_other else None
    return statement.values(
        {name: bindparam(name, type_=table.c[name].type) for name in written}
    ).on_conflict_do_update(index_elements=key, set_=fresh, where=where)


def _generated(table: Table) -> Iterable[str]:
    return (column.name for column in table.columns if column is table.autoincrement_column)


def _delete_all(table: Table) -> Delete:
    """Delete what a conversation has there."""
    return delete(table).where(table.c.owner == bindparam("owner"), table.c.session_id == bindparam("session_id"))


def _delete(table: Table, name: str) -> Delete:
    """Delete the conversation's row that has the parameter `named` in the column `name`."""
    return _delete_all(table).where(table.c[name] == bindparam("named"))


def _delete_others(table: Table, name: str) -> Delete:
    """Delete the conversation's rows that have something else there."""
    return _delete_all(table).where(table.c[name] != bindparam("named"))
