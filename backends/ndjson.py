"""Lines of JSON out of bytes, however the bytes were cut on their way. Does no I/O, knows nothing of their meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator

MAX_LINE = 8 * 1024 * 1024


class BadLine(ValueError):
    """A line that is too long, or is not a JSON object. The message is a sentence."""


class LineReader:
    """Takes chunks of bytes, gives JSON objects, one for each line. Holds at most `limit` bytes.

    Bytes are cut at newlines before they are decoded, so a character that came in two chunks stays whole.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[dict[str, object]]:
        """The objects that `chunk` completes. Raises BadLine."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._hold(chunk[start:end])
            yield from self._take()
            start = end + 1
        self._hold(chunk[start:])

    def finish(self) -> Iterator[dict[str, object]]:
        """The object of a last line without a newline. Raises BadLine."""
        yield from self._take()

    def _hold(self, piece: bytes) -> None:
        if len(self._pending) + len(piece) > self._limit:
            raise BadLine(f"A line is longer than {self._limit} bytes.")
        self._pending += piece

    def _take(self) -> Iterator[dict[str, object]]:
        line = bytes(self._pending)
        self._pending.clear()
        if line.strip():
            yield read_object(line)


def read_object(line: bytes) -> dict[str, object]:
    """The JSON object that `line` is. Raises BadLine."""
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise BadLine("A line is not JSON.") from error
    if not isinstance(value, dict):
        raise BadLine("A line is not a JSON object.")
    return value
