"""One conversation's log: events are appended once, and every client reads them through a cursor of its own.

Owns the order of events (`seq` 1, 2, 3 …), the window of recent ones, the state they fold into, and who subscribes.
Knows nothing of sockets, runs or models. Nothing here waits: the producer never learns how slow a reader is.

The window holds the last events as frames, encoded once for any number of readers. What leaves it lives on in the
state, so a reader that was away for too long gets one snapshot and misses nothing.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.clock import Clock
from server.fold import Conversation
from server.history.records import About
from server.protocol import AnyLogEvent, CanvasMessage, ProgressMessage, encode
from server.subscriber import Subscriber


@dataclass(slots=True, frozen=True)
class Limits:
    """What a session keeps for clients that come back, and how far behind one may fall."""

    window_events: int = 10_000
    window_bytes: int = 4 * 1024 * 1024
    subscriber_bytes: int = 256 * 1024


@dataclass(slots=True, frozen=True)
class Entry:
    """An event of the log as it goes over the wire. `end`: bytes of the whole log up to and with this event."""

    frame: str
    end: int


class BadResume(ValueError):
    """A client claims to have seen events that there never were."""


class Session:
    """An append-only log of events, and its subscribers. `epoch` tells one life of the log from another."""

    def __init__(self, about: About, limits: Limits, clock: Clock, state: Conversation | None = None) -> None:
        """`state`: what the log added up to in an earlier life."""
        self.about = about
        self.epoch = secrets.token_hex(8)
        self.limits = limits
        self.state = state or Conversation()
        self.bytes = 0  # of all frames ever published
        self.active_at = clock.now()  # when something was last sent to the subscribers
        self.watched: Callable[[Session], None] = lambda _: None  # the first subscriber has come, or the last has gone
        self.snapshot_sent: Callable[[], None] = lambda: None
        self.published: Callable[[Session, AnyLogEvent], None] = lambda *_: None
        self.waiting: Callable[[], Sequence[Mapping[str, Any]]] = tuple  # the queue, with all it takes to keep it
        self._clock = clock
        self._window: deque[Entry] = deque()
        self._window_bytes = 0
        self._subscribers: dict[Subscriber, None] = {}
        self._now: dict[str, str] = {}  # the latest progress of what runs, for those who join late
        self._snapshot: tuple[int, str] = (-1, "")

    @property
    def id(self) -> str:
        """128 random bits, in hexadecimal."""
        return self.about.id

    @property
    def head(self) -> int:
        """The `seq` of the newest event; 0 while there is none."""
        return self.state.seq

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def publish(self, event: AnyLogEvent) -> int:
        """Append `event` and wake every subscriber. Gives its `seq`. Never waits."""
        event = event.model_copy(update={"session": self.id, "seq": self.head + 1})
        frame = encode(event)
        self.state.apply(event)
        size = _size(frame)
        self.bytes += size
        self._window.append(Entry(frame, self.bytes))
        self._window_bytes += size
        self._fold_away()
        self.active_at = self._clock.now()
        for subscriber in tuple(self._subscribers):
            subscriber.published(size)
        self.published(self, event)
        return event.seq

    def transient(self, message: ProgressMessage | CanvasMessage) -> None:
        """Show `message` to those who read now. It has no `seq`; a newer one of its kind takes its place."""
        frame, key = encode(message), f"{message.type} {message.id}"
        if isinstance(message, ProgressMessage):
            self._now[key] = frame
        self.active_at = self._clock.now()
        for subscriber in self._subscribers:
            subscriber.transient(key, frame)

    def settle(self, identity: str) -> None:
        """What `identity` names has ended: whoever joins from now on need not hear of its progress."""
        self._now.pop(f"progress {identity}", None)

    def subscribe(self, after: int | None = None, epoch: str | None = None) -> Subscriber:
        """Begin to read: after event `after`, when this is still the log of that `epoch`; else from a snapshot.

        Raises BadResume when `after` lies beyond the log's head.
        """
        same_log = epoch == self.epoch
        if after is not None and same_log and after > self.head:
            raise BadResume(f"{after} lies beyond the last event.")
        recovered = after is not None and same_log and self.reaches(after)
        if recovered:
            assert after is not None
            subscriber = Subscriber(self, after, recovered=True)
        else:
            subscriber = Subscriber(self, None if self.head else 0, recovered=False)
        for key, frame in self._now.items():
            subscriber.transient(key, frame)
        self._subscribers[subscriber] = None
        if len(self._subscribers) == 1:
            self.watched(self)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop reading. A second time changes nothing."""
        if subscriber in self._subscribers:
            del self._subscribers[subscriber]
            if not self._subscribers:
                self.watched(self)

    def reaches(self, after: int) -> bool:
        """Whether the window still holds everything that followed event `after`."""
        return after >= self.head - len(self._window)

    def entry(self, seq: int) -> Entry:
        """The event `seq`, which the window must hold."""
        return self._window[seq - self.head - 1]

    def bytes_before(self, seq: int) -> int:
        """Bytes of the log up to event `seq`, which must be in the window, or right before it."""
        return self.bytes if seq == self.head else self.entry(seq + 1).end - _size(self.entry(seq + 1).frame)

    def snapshot_frame(self) -> str:
        """The state at the head as a frame, made once for as many as ask for it."""
        if self._snapshot[0] != self.head:
            self._snapshot = (self.head, encode(self.state.snapshot(self.id, self.epoch)))
        self.snapshot_sent()
        return self._snapshot[1]

    def _fold_away(self) -> None:
        """Let go of the oldest events. The state has them."""
        while len(self._window) > 1 and (
            len(self._window) > self.limits.window_events or self._window_bytes > self.limits.window_bytes
        ):
            self._window_bytes -= _size(self._window.popleft().frame)


def _size(frame: str) -> int:
    return len(frame) if frame.isascii() else len(frame.encode())
