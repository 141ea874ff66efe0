"""Opening a database: its lock, its checks, the copy before a migration, the migration.

Knows nothing of what the tables hold.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from server.history import sqlite_file
from server.history.database import BUSY_MS, Database
from server.history.failures import failures_told
from server.history.migrating import revision, upgrade
from server.history.migrations import HEAD


@dataclass(slots=True)
class Opened:
    """A database to work with; what people should know of its opening; what to call when it has been closed."""

    database: Database
    notices: list[str] = field(default_factory=list)
    release: Callable[[], None] = lambda: None


async def open_database(url: URL, busy_ms: int = BUSY_MS) -> Opened:
    """Open what `url` names, made or migrated as needed. Raises HistoryError."""
    with failures_told(url.get_backend_name()):
        if url.get_backend_name() == "sqlite":
            return await _open_sqlite(url, busy_ms)
        return await _open_postgresql(url)


async def _open_sqlite(url: URL, busy_ms: int) -> Opened:
    assert url.database is not None
    path = Path(url.database)
    lock = await asyncio.to_thread(_take, path)
    try:
        notices, found = await asyncio.to_thread(_look_at, path, busy_ms)
        if found != HEAD:
            await upgrade(url)
        return Opened(Database(url, busy_ms), notices, lock.release)
    except BaseException:
        lock.release()
        raise


def _take(path: Path) -> sqlite_file.FileLock:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(sqlite_file.open_private(path))
    return sqlite_file.FileLock(path)


def _look_at(path: Path, busy_ms: int) -> tuple[list[str], str | None]:
    """What people should know of the file, and where it stands. A damaged one is moved aside, an old one copied."""
    if not path.exists():
        return [], None
    if not sqlite_file.is_whole(path, busy_ms):
        aside = sqlite_file.move_aside(path)
        return [f"The history was damaged. It has been moved aside to {aside.name}, and a new one was begun."], None
    engine = create_engine("sqlite://", creator=lambda: sqlite_file.read_only(path, busy_ms), poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            found = revision(connection)
    finally:
        engine.dispose()
    if found not in (None, HEAD):
        sqlite_file.back_up(path)
    return [], found


async def _open_postgresql(url: URL) -> Opened:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(revision)
    finally:
        await engine.dispose()
    database = Database(url)
    try:
        async with database.writing():  # takes the lock
            pass
        if found != HEAD:
            await upgrade(url)
    except BaseException:
        await database.close()
        raise
    return Opened(database)
