"""A folder that keeps built libraries, each under the fingerprint of what it was made from.

Beside every library lies the hash of its bytes: a damaged one is known before the system maps it into this process,
which could end it. Knows nothing of compilers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import KernelsUnavailable
from engine.kernels.compiler import Patience

BUILT = Path(__file__).resolve().parent / "built"
KEPT = 4  # libraries; a folder may serve several versions of the program, and machines of several kinds
_UNFINISHED = ".part-"
_LOCK_POLL = 0.1  # seconds


def usual_folders() -> list[Path]:
    """Where libraries are looked for, and built if it can be written: beside the sources, then the user's cache."""
    folders = [BUILT]
    with suppress(RuntimeError):  # a user without a home
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folders.append(Path(cache) / "switchboard" / "kernels")
    return folders


def find_in(folder: Path, digest: str) -> Path | None:
    """The newest whole library in `folder` that was made from the sources of that digest."""
    libraries = [file for file in _newest_first(folder) if file.name.startswith(f"kernels-{digest}-")]
    return next((file for file in libraries if _is_whole(file)), None)


def library_name(digest: str, compiler: str) -> str:
    """What the library is called that a compiler makes from the sources of that digest."""
    return f"kernels-{digest}-{compiler}.so"


def fingerprint_of(library: Path) -> str:
    """What the library at that path says of itself if it is what its name says."""
    return library.stem.removeprefix("kernels-")


def keep(built: Path, folder: Path, name: str) -> Path:
    """Move a library that lies in the same file system into `folder`, and delete the oldest there."""
    target = folder / name
    _sum_of(target).unlink(missing_ok=True)  # until the new one is there, there is none
    built.replace(target)
    part = built.with_suffix(".sha256")
    part.write_text(_hash(target))
    part.replace(_sum_of(target))
    for old in _newest_first(folder)[KEPT:]:
        discard(old)
    return target


def discard(library: Path) -> None:
    """Delete a library, if it may be deleted."""
    with suppress(OSError):
        library.unlink(missing_ok=True)
        _sum_of(library).unlink(missing_ok=True)


def choose_folder(folders: list[Path]) -> Path:
    """The first that can be written. Raises KernelsUnavailable if none can."""
    problem = "there is no folder for them"
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".lock").open("w").close()
        except OSError as error:
            problem = f"{folder} cannot be written: {error.strerror}"
        else:
            return folder
    raise KernelsUnavailable(f"The kernels cannot be kept: {problem}.")


@contextmanager
def alone(folder: Path, patience: Patience) -> Iterator[None]:
    """Wait until no other process, or thread, builds into `folder`, and keep others out meanwhile.

    Raises KernelsUnavailable when patience ends.
    """
    if sys.platform == "win32":
        raise KernelsUnavailable("They are not built on Windows.")
    import fcntl

    with (folder / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                patience.wait(_LOCK_POLL)
        yield


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for what is unfinished, removed in the end. What dead builds left is removed first."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as made:
        yield Path(made)


def _newest_first(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.glob("kernels-*.so"), key=lambda file: file.stat().st_mtime, reverse=True)
    return []


def _is_whole(library: Path) -> bool:
    try:
        return _sum_of(library).read_text() == _hash(library)
    except (OSError, UnicodeDecodeError):
        return False


def _sum_of(library: Path) -> Path:
    return library.with_name(library.name + ".sha256")


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
