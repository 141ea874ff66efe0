"""Where WebSocket frames end in a stream of bytes, either way, after the HTTP head that comes before the first."""

from __future__ import annotations

HEAD_END = b"\r\n\r\n"


class FrameCounter:
    """Counts the whole frames that went by. Holds no more than a frame's head in memory."""

    def __init__(self) -> None:
        self.count = 0
        self._head = b""  # of the HTTP message; of the next frame, once that is past
        self._in_frames = False
        self._left = 0  # bytes of the payload that are still to come

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._advance(data, None)

    def place_of(self, data: bytes, count: int) -> int | None:
        """How many bytes of `data`, the next ones, complete frame number `count`; None when they do not."""
        ahead = FrameCounter()
        ahead.count, ahead._head, ahead._in_frames, ahead._left = self.count, self._head, self._in_frames, self._left
        return ahead._advance(data, count)

    def _advance(self, data: bytes, count: int | None) -> int | None:
        """Go over `data`; with a `count`, only until there are so many frames. Gives the place, if there is one."""
        at = 0
        if not self._in_frames:
            at = self._past_http_head(data)
        while self._in_frames:
            if count is not None and self.count >= count:
                return at
            if at >= len(data):
                return None
            at = self._in_frame(data, at)
        return None

    def _past_http_head(self, data: bytes) -> int:
        seen = len(self._head)
        self._head += data
        end = self._head.find(HEAD_END)
        if end < 0:
            return len(data)
        self._head, self._in_frames = b"", True
        return end + len(HEAD_END) - seen

    def _in_frame(self, data: bytes, at: int) -> int:
        """Go on in the current frame: its head byte by byte, its payload in one step."""
        if self._left:
            step = min(self._left, len(data) - at)
            self._left -= step
            self.count += self._left == 0
            return at + step
        self._head += data[at : at + 1]
        length = _payload_length(self._head)
        if length is not None:
            self._head, self._left = b"", length
            self.count += length == 0
        return at + 1


def _payload_length(head: bytes) -> int | None:
    """The payload's length, as soon as the frame's whole head is there."""
    if len(head) < 2:
        return None
    short, mask = head[1] & 127, 4 if head[1] & 128 else 0
    extra = {126: 2, 127: 8}.get(short, 0)
    if len(head) < 2 + extra + mask:
        return None
    return int.from_bytes(head[2 : 2 + extra]) if extra else short
