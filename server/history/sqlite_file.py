"""The SQLite file as a file: who holds it, whether it is whole, copies of it, and moving it out of the way.

Knows nothing of what it holds. Everything here blocks, so it runs in a thread.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from server.history.failures import TAKEN
from server.history.records import HistoryError

KEPT_BACKUPS = 3
BESIDE = ("", "-wal", "-shm")  # what SQLite keeps beside a database belongs to it


class FileLock:
    """Held while this server uses the file, so that no second one does. The system lets go of it when we die."""

    def __init__(self, database: Path) -> None:
        """Raises HistoryError when another server holds it, OSError when the folder takes no file."""
        self._file = open_private(database.with_name(f"{database.name}.lock"))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if isinstance(error, BlockingIOError):
                raise HistoryError(TAKEN) from error
            raise

    def release(self) -> None:
        """Let another server in. A second time changes nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class FileIdentity:
    """Which file it is that is open. A file that was deleted can still be written to, and nobody would ever read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = path.stat().st_ino

    def check(self) -> None:
        """Raises HistoryError unless the file is still where it was."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError as error:
            raise HistoryError("The history's file has vanished. Put it back, or start the server again.") from error
        if inode != self._inode:
            raise HistoryError("The history's file is another one now. Start the server again to use it.")


def open_private(path: Path) -> int:
    """A descriptor of the file, which is made if need be, and then for its user alone."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def is_whole(path: Path, busy_ms: int) -> bool:
    """Whether SQLite can read every page of the file. Raises sqlite3.Error where it cannot say."""
    try:
        with closing(read_only(path, busy_ms)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        raise


def read_only(path: Path, busy_ms: int = 5_000) -> sqlite3.Connection:
    """A connection that changes nothing."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_ms / 1000)


def move_aside(path: Path) -> Path:
    """Give the file, and what SQLite keeps beside it, another name. What is damaged may yet be of use to somebody."""
    aside = _free_name(path, "damaged")
    for suffix in BESIDE:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def back_up(path: Path) -> Path:
    """Copy the file as it stands. Of the copies made so, the last few are kept."""
    copy = _free_name(path, "backup")
    os.close(open_private(copy))
    with closing(read_only(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for old in sorted(path.parent.glob(f"{path.stem}.backup-*{path.suffix}"))[:-KEPT_BACKUPS]:
        old.unlink()
    return copy


def _free_name(path: Path, what: str) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    names = (f"{path.stem}.{what}-{stamp}{more}{path.suffix}" for more in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(free for name in names if not (free := path.with_name(name)).exists())
