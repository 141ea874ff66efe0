"""The keys as a file: JSON that its owner alone may read, replaced as a whole, so that no reader ever sees half of it.

Knows nothing of requests, nor of when the file is read. Everything here blocks, for as long as a small file takes.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

VERSION = 1


class KeyFileError(Exception):
    """The file cannot be read or written. `str(error)` is a sentence that names it."""


@dataclass(slots=True, frozen=True)
class Key:
    """A key as it is kept. Times are Unix seconds; without `expires_at` it is good until it is removed.

    `owner` is whose conversations it opens: its own, under its id, unless it was made for somebody else's.
    """

    id: str
    name: str
    digest: str
    owner: str
    admin: bool
    created_at: float
    expires_at: float | None = None

    def expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(slots=True, frozen=True)
class _Content:
    version: int
    keys: list[Key]


_CONTENT = TypeAdapter(_Content)
_TIMES = TypeAdapter(dict[str, float])


def read_keys(path: Path) -> list[Key]:
    """The keys of the file, none where there is no file. Raises KeyFileError."""
    try:
        content = _CONTENT.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeyFileError(f"The file of keys, {path}, cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its beginning"
        raise KeyFileError(f"The file of keys, {path}, is not what it was: {first['msg']} at {place}.") from error
    if content.version != VERSION:
        raise KeyFileError(f"The file of keys, {path}, is of another version of this program.")
    return content.keys


def change_keys(path: Path, change: Callable[[Sequence[Key]], Iterable[Key]]) -> None:
    """Put in place of the keys what `change` makes of them, while no other program does. Raises KeyFileError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            keys = list(change(read_keys(path)))
            write_private(path, _CONTENT.dump_json(_Content(VERSION, keys), indent=1) + b"\n")
    except OSError as error:
        raise KeyFileError(f"The file of keys, {path}, cannot be written: {error.strerror}.") from error


def read_uses(path: Path) -> dict[str, float]:
    """When each key was last used, by its id. What cannot be read was never used: nothing depends on it."""
    with suppress(OSError, ValidationError):
        return _TIMES.validate_json(uses_file(path).read_bytes())
    return {}


def write_uses(path: Path, uses: dict[str, float]) -> None:
    """Keep when each key was last used, in a file of the server's own beside that of the keys. Raises OSError."""
    write_private(uses_file(path), json.dumps(uses, indent=1).encode())


def uses_file(path: Path) -> Path:
    """Where it is kept when the keys of that file were last used."""
    return path.with_name(f"{path.stem}.used{path.suffix}")


def write_private(path: Path, content: bytes) -> None:
    """Put `content` in place of the file, whole or not at all, for its user alone. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The turn of one program to change the file."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
