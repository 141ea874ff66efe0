"""What a database says when it fails, as a sentence for a person. Knows no tables and no connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from server.history.records import HistoryError

DAMAGED = "The history is damaged. Restart the server: it moves the damaged file aside and begins a new one."
LOCKED = "The history is locked by another program."
FULL = "The disk that holds the history is full."

_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: "The history is read-only: this program may not write to its file or folder.",
    sqlite3.SQLITE_CANTOPEN: "The history's file cannot be opened.",
    sqlite3.SQLITE_PERM: "This program may not open the history's file.",
    sqlite3.SQLITE_IOERR: "The disk that holds the history fails.",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}

_POSTGRESQL = {  # the beginning of a SQLSTATE; the longest that fits counts
    "08": "PostgreSQL, which holds the history, cannot be reached.",
    "25006": "PostgreSQL takes no changes to the history at the moment.",
    "28": "PostgreSQL, which holds the history, refuses this user or password.",
    "3D": "PostgreSQL has no database of the name that DATABASE_URL gives.",
    "42501": "PostgreSQL does not let this user work with the history's tables.",
    "53100": FULL,
    "53300": "PostgreSQL, which holds the history, has no connection left.",
    "55P03": LOCKED,
    "57P": "PostgreSQL, which holds the history, is shutting down or starting.",
}
UNREACHABLE = _POSTGRESQL["08"]


@contextmanager
def failures_told() -> Iterator[None]:
    """Whatever the database raises within leaves as a HistoryError."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise HistoryError(sentence(error)) from error


def sentence(error: BaseException) -> str:
    """What happened, for a person."""
    for cause in _causes(error):
        if isinstance(cause, sqlite3.Error):
            code = getattr(cause, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in _SQLITE:
                return _SQLITE[code & 0xFF]
        elif isinstance(cause, asyncpg.PostgresError):
            state = getattr(cause, "sqlstate", None) or ""
            fitting = [beginning for beginning in _POSTGRESQL if state.startswith(beginning)]
            if fitting:
                return _POSTGRESQL[max(fitting, key=len)]
        elif isinstance(cause, asyncpg.InterfaceError | OSError):
            return UNREACHABLE
    return f"The history fails ({type(next(iter(_causes(error)))).__name__})."


def damaged(error: BaseException) -> bool:
    """Whether it is the file's content that is wrong."""
    return sentence(error) == DAMAGED


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The driver's own error comes first, then what it was wrapped in."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        yield from _causes(error.orig)
    elif error.__cause__ is not None:
        yield from _causes(error.__cause__)
    yield error
