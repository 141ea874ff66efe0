"""What a database says when it fails, as a sentence for a person. Knows no tables and no connections."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    EmulatedDBAPIException,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from server.history.records import HistoryError

TAKEN = "Another server uses this history."
FULL = "The disk that holds the history is full."
LOCKED = "The history is locked by another program."
READ_ONLY = "The history is read-only: this program may not write to its file or folder."
DAMAGED = "The history is damaged. When the server starts again, it moves the file aside and begins a new one."
UNREACHABLE = "PostgreSQL, which holds the history, cannot be reached."
UNUSABLE = "The history's file cannot be opened."

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: UNUSABLE,
    sqlite3.SQLITE_IOERR: "The disk that holds the history fails.",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
_SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.EROFS: READ_ONLY,
}
_POSTGRESQL = {  # by the beginning of a SQLSTATE; the longest that fits counts
    "08": UNREACHABLE,
    "25006": "PostgreSQL takes no changes to the history at the moment.",
    "28": "PostgreSQL, which holds the history, refuses this user or password.",
    "3D": "PostgreSQL has no database of the name that DATABASE_URL gives.",
    "42501": "PostgreSQL does not let this user work with the history's tables.",
    "53100": FULL,
    "53300": "PostgreSQL, which holds the history, has no connection left.",
    "55P03": TAKEN,  # this program waits for nothing else with a limit
    "57P": "PostgreSQL, which holds the history, is shutting down or starting.",
}


_FAILURES = (
    SQLAlchemyError,
    EmulatedDBAPIException,  # while a connection is made, nothing is wrapped yet
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)


@contextmanager
def failures_told(dialect: str) -> Iterator[None]:
    """Whatever the database raises within leaves as a HistoryError."""
    try:
        yield
    except _FAILURES as error:
        raise HistoryError(sentence(error, dialect)) from error


def sentence(error: BaseException, dialect: str) -> str:
    """What happened, for a person."""
    for cause in _causes(error):
        told = _of_sqlite(cause) if dialect == "sqlite" else _of_postgresql(cause)
        if told is not None:
            return told
    return f"The history fails ({type(next(_causes(error))).__name__})."


def lies_in_the_content(error: HistoryError) -> bool:
    """Whether what was to be written is at fault, and not the database."""
    cause = error.__cause__
    refused = isinstance(cause, DataError | IntegrityError)
    return refused or (isinstance(cause, StatementError) and not isinstance(cause, DBAPIError))


def lies_in_the_index(error: HistoryError) -> bool:
    """Whether it is only the index for the search that is damaged. It can be made anew from the words."""
    cause = error.__cause__
    codes = [getattr(inner, "sqlite_errorcode", None) for inner in _causes(cause)] if cause else []
    return sqlite3.SQLITE_CORRUPT_VTAB in codes


def _of_sqlite(cause: BaseException) -> str | None:
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(cause, OSError):
        return _SYSTEM.get(cause.errno or 0, UNUSABLE)
    return None


def _of_postgresql(cause: BaseException) -> str | None:
    if isinstance(cause, asyncpg.PostgresError):
        fitting = [beginning for beginning in _POSTGRESQL if (cause.sqlstate or "").startswith(beginning)]
        return _POSTGRESQL[max(fitting, key=len)] if fitting else None
    return UNREACHABLE if isinstance(cause, asyncpg.InterfaceError | OSError) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The driver's own error comes first, then what it was wrapped in."""
    inner = error.orig if isinstance(error, DBAPIError) else error.__cause__
    if inner is not None:
        yield from _causes(inner)
    yield error
