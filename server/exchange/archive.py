"""Opens a zip that holds an export: ChatGPT's has `conversations.json`, or several that are numbered.

Nothing is written anywhere, no name in the zip is used for anything but finding those files, and what they unfold to
is bounded whatever the zip says of their sizes.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator

from server.exchange.draft import DocumentError

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_UNZIPPED_BYTES = 1024 * 1024 * 1024  # of all files
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024  # the list of what a zip holds, which is read as a whole
_WANTED = re.compile(r"(?:.*/)?conversations(?:-(\d{1,6}))?\.json")
_END = b"PK\x05\x06"
_END_BYTES = 22
BROKEN = "This zip file is damaged, or of a kind that cannot be read."


def is_zip(data: bytes) -> bool:
    """Whether `data` begins as zip files do."""
    return data.startswith((b"PK\x03\x04", _END))


def unzipped(data: bytes) -> Iterator[bytes]:
    """The files with conversations in a zip, in the order of their numbers, one in memory at a time.

    Raises DocumentError.
    """
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            wanted = [entry for entry in archive.infolist() if _wanted(entry.filename)]
            if not wanted:
                raise DocumentError("This zip file has no conversations.json in it.")
            left = MAX_UNZIPPED_BYTES
            for entry in sorted(wanted, key=lambda entry: (_number(entry.filename), entry.filename)):
                most = min(left, MAX_FILE_BYTES)
                with archive.open(entry) as file:
                    content = file.read(most + 1)
                if len(content) > most:
                    raise DocumentError(f"{entry.filename[-60:]} in this zip file unfolds to more than is read.")
                left -= len(content)
                yield content
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DocumentError(BROKEN) from error


def _wanted(path: str) -> bool:
    return _WANTED.fullmatch(path) is not None and not path.startswith("__MACOSX/")


def _number(path: str) -> int:
    found = _WANTED.fullmatch(path)
    return int(found[1]) if found and found[1] else -1


def _check_directory(data: bytes) -> None:
    """Refuse a zip whose list of files alone would fill the memory."""
    at = data.rfind(_END, max(0, len(data) - _END_BYTES - 65_535))
    if at < 0 or len(data) < at + _END_BYTES:
        raise DocumentError(BROKEN)
    if int.from_bytes(data[at + 12 : at + 16], "little") > MAX_DIRECTORY_BYTES:
        raise DocumentError("This zip file holds too many files. Unpack it, and import its conversations.json.")
