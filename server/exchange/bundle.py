"""A zip that is written while it is sent: files go in one at a time, and what is done comes out in pieces.

Holds one file and the list of names in memory. Knows nothing of conversations.
"""

from __future__ import annotations

import io
import time
import zipfile

from typing_extensions import Buffer

EARLIEST = 315_532_800.0  # 1980: no file in a zip can be older
LATEST = 4_354_819_198.0  # nor younger than 2107


class Bundle:
    """The zip. Take what is there with `taken` after each file, and after the end."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._names: dict[str, int] = {}  # how many files were to have each name

    def add(self, stem: str, ending: str, content: str, at: float) -> None:
        """Put in a file, named `stem` and `ending`, and numbered if there is one of that name. `at`: Unix seconds."""
        name = self._free(stem, ending)
        entry = zipfile.ZipInfo(name, time.gmtime(min(max(at, EARLIEST), LATEST))[:6])
        entry.external_attr = 0o644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, content.encode("utf-8", "replace"))

    def _free(self, stem: str, ending: str) -> str:
        name = stem + ending
        while (number := self._names.get(name.casefold(), 0)) > 0:
            self._names[name.casefold()] += 1
            name = f"{stem} ({number + 1}){ending}"
        self._names[name.casefold()] = 1
        return name

    def end(self) -> None:
        """No more files come."""
        self._zip.close()

    def taken(self) -> bytes:
        """What has been written since this was last asked."""
        return self._sink.taken()


class _Sink(io.RawIOBase):
    """A file that can only be written to, and forgets what was taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Buffer, /) -> int:
        data = bytes(piece)
        self._pieces.append(data)
        return len(data)

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
