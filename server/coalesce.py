"""Gathers the pieces of an answer into deltas: few frames, and no piece that waits long.

Knows nothing of logs or backends: text goes in, and comes out through a callback with its channel and offset. The
first piece goes out at once; after it, what has been gathered goes at the tenth token, at a line's end, when the
channel changes, or when the flush time is over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from server.clock import Clock, Timer

Channel = Literal["content", "reasoning"]

CHANNELS: tuple[Channel, ...] = ("content", "reasoning")
FLUSH_TOKENS = 10
SURROGATE = re.compile("[\ud800-\udfff]")


class Coalescer:
    """One answer's text on its way to the log. `emit(channel, offset, text, token_ids)` is called for each delta.

    `token_ids` are those that came since the delta before.
    """

    def __init__(
        self,
        emit: Callable[[Channel, int, str, tuple[int, ...]], None],
        clock: Clock,
        flush_s: float,
        before: Mapping[Channel, str] | None = None,
    ) -> None:
        """`before`: the text that is there already."""
        before = before or {}
        self.texts: dict[Channel, list[str]] = {channel: [before.get(channel, "")] for channel in CHANNELS}
        self._emit = emit
        self._clock = clock
        self._flush_s = flush_s
        self._offsets: dict[Channel, int] = {channel: len(before.get(channel, "")) for channel in CHANNELS}
        self._channel: Channel = "content"
        self._pending = ""
        self._token_ids: list[int] = []
        self._tokens = 0
        self._started = False
        self._timer: Timer | None = None

    def add(self, channel: Channel, text: str, token_ids: Sequence[int] = ()) -> None:
        """Take in a piece that came of these tokens, or of one that is not known."""
        if channel != self._channel:
            self.flush()
            self._channel = channel
        self._pending += text
        self._token_ids += token_ids
        self._tokens += len(token_ids) or 1
        if not self._started or self._tokens >= FLUSH_TOKENS or "\n" in text:
            self._emit_pending()
        elif self._timer is None and self._pending:
            self._timer = self._clock.call_later(self._flush_s, self._emit_pending)

    def flush(self) -> None:
        """Send on all there is. Half a character that never became whole turns into the replacement character."""
        self._emit_pending(whole=True)

    def close(self) -> None:
        """Nothing more is to be sent on: let go of whoever was told, or the collector has to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._emit = _to_nobody

    def text(self, channel: Channel) -> str:
        """All that was sent on."""
        return "".join(self.texts[channel])

    def _emit_pending(self, whole: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tokens = 0
        text, self._pending = whole_characters(self._pending, keep_half=not whole)
        if not text:
            return
        self._started = True
        offset = self._offsets[self._channel]
        self._offsets[self._channel] = offset + len(text)
        self.texts[self._channel].append(text)
        token_ids, self._token_ids = tuple(self._token_ids), []
        self._emit(self._channel, offset, text, token_ids)


def _to_nobody(channel: Channel, offset: int, text: str, token_ids: tuple[int, ...]) -> None:
    del channel, offset, text, token_ids


def whole_characters(text: str, keep_half: bool) -> tuple[str, str]:
    """`text` without surrogates, and, to keep, the half of a pair at its end whose other half may follow."""
    if not SURROGATE.search(text):
        return text, ""
    half = text[-1] if keep_half and "\ud800" <= text[-1] <= "\udbff" else ""
    text = text[: len(text) - len(half)]
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half
