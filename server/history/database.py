"""One open database: a connection that writes, a few that read, and the lock that keeps a second server out.

Knows nothing of what the tables hold. Readers never wait for the writer: SQLite writes ahead (WAL), PostgreSQL keeps
versions. Whatever fails here leaves as a HistoryError.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.history.failures import failures_told
from server.history.records import HistoryError
from server.history.sqlite_file import FileIdentity

READERS = 4
BUSY_MS = 5_000  # how long SQLite waits for another program that has the file locked
ANSWER_S = 15.0  # how long PostgreSQL may take for one statement
ADVISORY_LOCK = 0x5717C4B0A2D  # any number that means this program
TAKEOVER_MS = 1_000  # how long PostgreSQL may take to notice that the server before us has gone

# FULL: once a commit has returned, it survives a power cut.
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 16777216")


def parse_url(url: str, folder: Path) -> URL:
    """DATABASE_URL as SQLAlchemy takes it. A relative path of SQLite is taken from `folder`. Raises HistoryError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise HistoryError("DATABASE_URL cannot be read. Write sqlite:///data/switchboard.db, for example.") from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return URL.create("sqlite+aiosqlite", database=str(folder / parsed.database))
        case "postgresql" | "postgres":
            query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
            return parsed.set(drivername="postgresql+asyncpg", query=query)
    raise HistoryError("DATABASE_URL begins with sqlite:/// and a file, or with postgresql://, or is off.")


class Database:
    """The engines of one database. It must stand where this program's migrations end."""

    def __init__(self, url: URL, busy_ms: int = BUSY_MS) -> None:
        self.dialect = url.get_backend_name()
        self._writing = asyncio.Lock()
        self._file = FileIdentity(Path(url.database)) if self.dialect == "sqlite" and url.database else None
        if self.dialect == "sqlite":
            self._writer = sqlite_engine(url, _PRAGMAS, "BEGIN IMMEDIATE", busy_ms, pool_size=1, max_overflow=0)
            reading = {"pool_size": READERS, "max_overflow": 0}
            self._reader = sqlite_engine(url, ("query_only = ON",), "BEGIN", busy_ms, **reading)
        else:
            self._writer = _postgresql_engine(url, pool_size=1)
            self._reader = _postgresql_engine(url, pool_size=READERS, isolation_level="REPEATABLE READ")
            _lock_when_connecting(self._writer)

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that is committed at the end, or leaves nothing. One at a time."""
        with failures_told(self.dialect):
            async with self._writing:
                if self._file is not None:
                    self._file.check()
                async with self._writer.begin() as connection:
                    yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees one moment, whatever is written meanwhile."""
        with failures_told(self.dialect):
            async with self._reader.begin() as connection:
                yield connection

    async def rebuild_index(self) -> None:
        """Make SQLite's index for the search anew. Raises HistoryError."""
        async with self.writing() as connection:
            await connection.exec_driver_sql("INSERT INTO entries_index(entries_index) VALUES ('rebuild')")

    async def close(self) -> None:
        await self._reader.dispose()
        await self._writer.dispose()


def sqlite_engine(url: URL, pragmas: Sequence[str], begin: str, busy_ms: int = BUSY_MS, **options: Any) -> AsyncEngine:
    """Connections whose transactions hold everything from `begin` on, changes of tables included."""
    engine = create_async_engine(url, connect_args={"timeout": busy_ms / 1000}, **options)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        del record
        connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not where sqlite3 guesses
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(url: URL, **options: Any) -> AsyncEngine:
    """Connections that are tried before they are used, since the server may have gone away and come back."""
    arguments = {
        "timeout": ANSWER_S,
        "command_timeout": ANSWER_S,
        "server_settings": {
            "application_name": "switchboard",
            "tcp_keepalives_idle": "30",
            "plan_cache_mode": "force_custom_plan",  # how common a word is decides how it is best looked for
        },
    }
    return create_async_engine(url, pool_pre_ping=True, max_overflow=0, connect_args=arguments, **options)


def _lock_when_connecting(engine: AsyncEngine) -> None:
    """The lock is the writing connection's own: whoever does not hold it cannot write, also after a reconnection."""

    @event.listens_for(engine.sync_engine, "connect")
    def lock(connection: Any, record: object) -> None:
        del record
        try:
            cursor = connection.cursor()
            cursor.execute(f"SET lock_timeout = {TAKEOVER_MS}")
            cursor.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
            cursor.close()
            connection.commit()
        except BaseException:
            connection.terminate()
            raise
