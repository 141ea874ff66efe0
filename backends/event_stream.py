"""JSON objects out of Server-Sent Events, however their bytes were cut on the way. Does no I/O.

After https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream, with what OpenAI's API
adds: each event's data is an object, or the word that ends the stream. Knows nothing of what the objects mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from backends.ndjson import MAX_LINE, BadLine, read_object

END_WORD = b"[DONE]"
_BOM = b"\xef\xbb\xbf"


class EventReader:
    """Takes chunks of bytes, gives one object for each event, and `{"done": True}` for the word at the end.

    Lines end in LF, CR or both. An event called `error` whose data does not say so is given as `{"error": …}`. Bytes
    are cut into lines before they are decoded, so a character that came in two chunks stays whole. Holds at most
    `limit` bytes.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pending = bytearray()  # the line that has not ended
        self._data: list[bytes] = []
        self._held = 0  # bytes in both
        self._name = b""
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> Iterator[dict[str, object]]:
        """The objects that `chunk` completes. Raises BadLine."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        *ended, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for piece in ended:
            self._hold(piece)
            yield from self._line()
        self._hold(rest)

    def finish(self) -> Iterator[dict[str, object]]:
        """The object of a last event that nothing ended. Raises BadLine."""
        yield from self._line()
        yield from self._event()

    def _hold(self, piece: bytes) -> None:
        self._held += len(piece)
        if self._held > self._limit:
            raise BadLine(f"An event is longer than {self._limit} bytes.")
        self._pending += piece

    def _line(self) -> Iterator[dict[str, object]]:
        line = bytes(self._pending)
        self._pending.clear()
        if self._first:
            line = line.removeprefix(_BOM)
            self._first = False
        if not line:
            yield from self._event()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        else:
            self._held -= len(line)  # a comment, or a field that OpenAI's API has no use for
            if field == b"event":
                self._name = value

    def _event(self) -> Iterator[dict[str, object]]:
        data, name = b"\n".join(self._data), self._name
        self._data, self._name, self._held = [], b"", 0
        if not data.strip():
            return
        if data.strip() == END_WORD:
            yield {"done": True}
            return
        told = read_object(data)
        yield {"error": told} if name == b"error" and "error" not in told else told
