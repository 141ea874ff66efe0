"""One reader of a session's log: a cursor, and what is to be said to this reader alone.

Knows nothing of sockets: whoever owns one asks for the next frame whenever the last has been sent. Three kinds of
frames come together here, each bounded in its own way:

    events      read from the log at the cursor, none copied; too far behind, and the reader is sent away
    replies     to this reader alone, in order; whoever gives one waits while too many are unsent
    transients  without `seq`; of each kind only the latest is kept
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.session import Session

MAX_REPLIES = 64
MAX_TRANSIENTS = 64
AT_ONCE = 16_384  # characters


class TooSlow(Exception):
    """The reader fell too far behind. It may come back and go on where it was."""


def _nobody_to_tell() -> None:
    pass


class Subscriber:
    """A cursor into the log of one session. `recovered`: the reader goes on exactly where it left off."""

    def __init__(self, session: Session, after: int | None, *, recovered: bool) -> None:
        self.session = session
        self.recovered = recovered
        self.on_too_slow: Callable[[], None] = _nobody_to_tell  # for an owner that is stuck in sending
        self.too_slow = False
        self._cursor = after  # the last event handed out; None: a snapshot comes first
        self._joined = session.bytes  # what the log held at the start is no debt of the reader
        self._handed = session.bytes if after is None else session.bytes_before(after)
        self._sent = self._handed
        self._replies: list[str] = []  # few at any time; a deque would take ten times the memory of an empty list
        self._transients: dict[str, tuple[int, str]] = {}
        self._news: asyncio.Future[None] | None = None  # what whoever asks for frames waits for
        self._room: asyncio.Event | None = None  # while somebody waits for it

    @property
    def unsent(self) -> int:
        """Bytes of events that came since the reader did, and that it has not been sent."""
        return self.session.bytes - max(self._sent, self._joined)

    async def frames(self) -> list[str]:
        """The next frames, once there are any: as many as are well sent at once.

        To ask for them says that those before have been sent. Raises TooSlow when the reader has fallen behind too far.
        """
        while not (frames := self._ready(AT_ONCE)):
            await self._until_news()
        return frames

    async def frame(self) -> str:
        """The same for a single frame."""
        while (frame := self.next_frame()) is None:
            await self._until_news()
        return frame

    def next_frame(self) -> str | None:
        """The same without waiting: None while there is no frame."""
        frames = self._ready(1)
        return frames[0] if frames else None

    async def _until_news(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _ready(self, size: int) -> list[str]:
        """The frames that are there, as many as it takes to reach `size` characters."""
        self._sent = self._handed
        if self.too_slow:
            raise TooSlow
        frames: list[str] = []
        while size > 0 and (frame := self._next()) is not None:
            frames.append(frame)
            size -= len(frame)
        return frames

    async def reply(self, frame: str) -> None:
        """Say `frame` to this reader alone, and wait while too many such frames are unsent."""
        self._replies.append(frame)
        self._wake()
        while len(self._replies) > MAX_REPLIES:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def transient(self, key: str, frame: str) -> None:
        """Show `frame`, in place of an earlier one with the same `key`, after the events that came before it."""
        self._transients.pop(key, None)
        if len(self._transients) == MAX_TRANSIENTS:
            self._transients.pop(next(iter(self._transients)))
        self._transients[key] = (self.session.head, frame)
        self._wake()

    def published(self, size: int) -> None:
        """The log grew by an event of `size` bytes. Whoever had all before it is not slow, however long it is."""
        if self.unsent - size > self.session.limits.subscriber_bytes:
            self.too_slow = True
            tell = self.on_too_slow
            self.close()
            tell()
        self._wake()

    def close(self) -> None:
        """Read no more."""
        self.session.unsubscribe(self)
        self.on_too_slow = _nobody_to_tell  # or we and our owner would hold each other in memory

    def _next(self) -> str | None:
        if self._replies:
            if self._room is not None:
                self._room.set()
                self._room = None
            return self._replies.pop(0)
        if self._cursor is None or not self.session.reaches(self._cursor):
            return self._snapshot()
        for key, (seq, frame) in self._transients.items():
            if seq <= self._cursor:
                del self._transients[key]
                return frame
            break
        return self._event() if self._cursor < self.session.head else None

    def _snapshot(self) -> str:
        self._cursor = self.session.head
        self._handed = self.session.bytes
        return self.session.snapshot_frame()

    def _event(self) -> str:
        assert self._cursor is not None
        self._cursor += 1
        entry = self.session.entry(self._cursor)
        self._handed = entry.end
        return entry.frame
