"""The sessions that are in memory: making them, finding them, and forgetting those that nobody uses.

A session is in use while somebody subscribes to it or an answer runs in it. One out of use is kept for
`window_s` seconds, so that a client can come back to the log itself, and then forgotten; what was said is in the
history by then, and if it is not, the session is kept until it is. However many are opened, no more than `MAX_IDLE` out
of use are kept, and no more than `MAX_EMPTY` of those in which nothing was ever said; the ones unused for longest go
first.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

from server.clock import Clock, Timer
from server.fold import Conversation
from server.history.records import LOCAL, About
from server.session import Limits, Session

MAX_IDLE = 1_000
MAX_EMPTY = 100


class Sessions:
    """Sessions by id. Ids are 128 random bits, made here; whose a session is, its `about` says."""

    def __init__(
        self,
        limits: Limits,
        window_s: float,
        clock: Clock,
        forgotten: Callable[[Session], None],
        stored: Callable[[Session], bool],
    ) -> None:
        """`forgotten` is called with each session that is; `stored` says whether it can be had again."""
        self._limits = limits
        self._window_s = window_s
        self._clock = clock
        self._forgotten = forgotten
        self._stored = stored
        self._by_id: dict[str, Session] = {}
        self._idle: dict[str, float] = {}  # since when, the longest unused first
        self._empty: dict[str, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_id.values()))

    def create(self, owner: str = LOCAL, session_id: str | None = None) -> Session:
        """A new session, with an id of its own unless one is given. It counts as out of use until `use` is called."""
        now, session_id = self._clock.today(), session_id or secrets.token_hex(16)
        about = About(session_id, owner, "", titled=False, pinned=False, created_at=now, updated_at=now)
        return self.add(about)

    def add(self, about: About, state: Conversation | None = None) -> Session:
        """Take a session into memory, as it was if it has a past. It counts as out of use until `use` is called."""
        session = self._by_id[about.id] = Session(about, self._limits, self._clock, state)
        self.rest(session)
        return session

    def get(self, session_id: str) -> Session | None:
        """The session of that id, if it is in memory."""
        return self._by_id.get(session_id)

    def remove(self, session: Session) -> None:
        """Forget `session` at once."""
        self.use(session)
        if self._by_id.pop(session.id, None) is not None:
            self._forgotten(session)

    def use(self, session: Session) -> None:
        """Somebody needs `session` from now on."""
        self._idle.pop(session.id, None)
        self._empty.pop(session.id, None)

    def rest(self, session: Session) -> None:
        """Nobody needs `session` any more, for now."""
        self.use(session)
        resting, most = (self._idle, MAX_IDLE) if session.head else (self._empty, MAX_EMPTY)
        resting[session.id] = self._clock.now()
        if len(resting) > most:
            self.remove(self._by_id[next(iter(resting))])
        self._look_again()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_again(self) -> None:
        if self._timer is None and (self._idle or self._empty):
            self._timer = self._clock.call_later(self._window_s, self._due)

    def _due(self) -> None:
        self._timer = None
        oldest = self._clock.now() - self._window_s
        for resting in (self._idle, self._empty):
            due = [session_id for session_id, since in resting.items() if since <= oldest]
            for session_id in due:
                if self._stored(self._by_id[session_id]):
                    self.remove(self._by_id[session_id])
        self._look_again()
