"""A download that goes on where it was cut off, with its progress shown.

Knows HTTP and files; knows nothing about models or packages. Standard library only, so that it runs before anything
is installed.
"""

from __future__ import annotations

import http.client
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

CHUNK = 256 * 1024  # bytes
ATTEMPTS = 5  # in a row that bring not a single byte
TIMEOUT_S = 30


class DownloadError(Exception):
    """The download failed for good."""


class AccessRefused(DownloadError):
    """The server does not let us in, or we do not trust it; another client may fare better."""


class Progress:
    """A bar that redraws itself on a terminal, a line every tenth of the way elsewhere."""

    def __init__(self, what: str, stream: TextIO = sys.stderr) -> None:
        self._what = what
        self._stream = stream
        self._live = stream.isatty()
        self._shown = -1
        self._started: tuple[float, int] | None = None

    def show(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are there; a `total` of 0 is not known."""
        self._started = self._started or (time.monotonic(), done)
        step = (100 if self._live else 10) * done // total if total else done // 10_000_000
        if step == self._shown:
            return
        self._shown = step
        text = f"{self._what}: {done / 1e6:.0f} MB" if not total else self._of(done, total)
        self._stream.write(f"\r{text}\033[K" if self._live else f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the bar's line."""
        if self._live and self._shown >= 0:
            self._stream.write("\n")

    def _of(self, done: int, total: int) -> str:
        assert self._started is not None
        began, first = self._started
        rate = (done - first) / 1e6 / max(time.monotonic() - began, 0.001)
        bar = "█" * (24 * done // total)
        drawn = f" {bar:░<24}" if self._live else ""
        share = f"{100 * done // total:3d} %  {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        return f"{self._what}:{drawn} {share}, {rate:.1f} MB/s"


def download(
    url: str, part: Path, *, progress: Progress, opener: urllib.request.OpenerDirector, pause_s: float = 1.0
) -> None:
    """Bring `url` into the file `part`, after the bytes that are there already.

    A server that ignores Range is read from the start. After a cut it goes on by itself, waiting `pause_s`, then twice
    that, and so on. Raises DownloadError, and OSError when the file cannot be written; `part` stays for the next time.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_rest(opener, url, part, progress)
            return
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            _give_up_on_final(error)
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise DownloadError(
                    f"the server could not be reached or keeps hanging up ({_reason(error)})"
                ) from error
            time.sleep(pause_s * 2 ** (failures - 1))


def _fetch_rest(opener: urllib.request.OpenerDirector, url: str, part: Path, progress: Progress) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _answer(opener, request, part) as response:
        if response is None:
            return
        goes_on = response.status == 206 and _first_byte(response) == have
        if response.status == 206 and not goes_on:
            part.unlink()
            raise ConnectionError("it sent another part than was asked for")
        start = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else 0
        with part.open("ab" if goes_on else "wb") as file:
            _copy(response, file, start, total, progress)


@contextmanager
def _answer(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, part: Path
) -> Iterator[http.client.HTTPResponse | None]:
    """The server's answer, or None when `part` is whole already (416 with the length we have)."""
    try:
        response = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{_size(part)}":
            yield None
            return
        part.unlink(missing_ok=True)
        raise ConnectionError("what was there already did not fit what the server has") from error
    with response:
        yield response


def _copy(response: http.client.HTTPResponse, file: BinaryIO, start: int, total: int, progress: Progress) -> None:
    done = start
    progress.show(done, total)
    while chunk := response.read(CHUNK):
        file.write(chunk)
        done += len(chunk)
        progress.show(done, total)
    if done < total:
        raise ConnectionError("the connection was cut")


def _first_byte(response: http.client.HTTPResponse) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(match[1]) if match else None


def _give_up_on_final(error: Exception) -> None:
    """Raise DownloadError for what will not get better by asking again."""
    if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 425, 429):
        kind = AccessRefused if error.code in (401, 403, 407) else DownloadError
        raise kind(f"the server answered {error.code} {error.reason}") from error
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, ssl.SSLCertVerificationError):
        raise AccessRefused(f"the server's certificate is not trusted ({error.reason.verify_message})") from error


def _reason(error: Exception) -> str:
    return str(error.reason if isinstance(error, urllib.error.URLError) else error) or type(error).__name__


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
