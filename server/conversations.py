"""The list of conversations: what each is called, when it was last used, which are pinned or running.

Keeps every line true, in memory and in the history, and shows each change at once to those who watch the list. Renames,
pins, deletes and restores. Knows nothing of HTTP or of frames' way to their sockets; what is said in a conversation is
the session's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from server.clock import Clock
from server.documents import Documents
from server.history.records import LOCAL, About, Found, Page
from server.history.store import History
from server.keeper import Keeper
from server.protocol import AiEvent, AnyLogEvent, DeltaEvent, ErrorEvent, SessionMessage, UserEvent
from server.recorder import Recorder
from server.session import Session
from server.sessions import Sessions
from server.titles import UNTITLED, title_of

SETTLE_S = 1.0
UNDO_S = 3600.0  # a deleted conversation can be had back for so long


class Conversations:
    """The conversations of each owner, those in memory and those that are only stored."""

    def __init__(
        self,
        keeper: Keeper,
        sessions: Sessions,
        recorder: Recorder,
        clock: Clock,
        tell: Callable[[SessionMessage, str], None],
        running: Callable[[str], bool],
        drop: Callable[[Session], None],
    ) -> None:
        """`tell` shows a line to an owner's sockets; `running` says whether an answer runs in the session of an id.

        `drop` ends what goes on in a session that is deleted.
        """
        self._keeper = keeper
        self._sessions = sessions
        self._recorder = recorder
        self._clock = clock
        self._tell = tell
        self._running = running
        self._drop = drop
        self._untold: dict[str, Session] = {}
        self.documents = Documents(
            self._settled, lambda session_id: sessions.get(session_id) is not None, self._show, clock.today
        )

    # What sessions tell

    def published(self, session: Session, event: AnyLogEvent) -> None:
        """Something was said in `session`."""
        if isinstance(event, DeltaEvent):
            return  # its run tells the recorder, with the tokens
        ends = isinstance(event, AiEvent | ErrorEvent)
        if ends or isinstance(event, UserEvent):
            about = session.about
            title = title_of(event.message) if isinstance(event, UserEvent) and not about.title else about.title
            session.about = replace(about, title=title, updated_at=self._clock.today())
        self._recorder.changed(session, at_once=True)
        self.touch(session)

    def touch(self, session: Session) -> None:
        """The line of `session` is another: show it once what happens now is over."""
        if not self._untold:
            asyncio.get_running_loop().call_soon(self._show_all)
        self._untold[session.id] = session

    def _show_all(self) -> None:
        untold, self._untold = self._untold, {}
        for session in untold.values():
            if session.head and self._sessions.get(session.id) is session:
                self._show(session.about)

    def _show(self, about: About, *, removed: bool | None = None) -> None:
        self._tell(self.line(about, removed=removed), about.owner)

    def line(self, about: About, *, removed: bool | None = None) -> SessionMessage:
        """A conversation's line of the list."""
        return SessionMessage(
            id=about.id,
            title=about.title or UNTITLED,
            pinned=about.pinned,
            running=self._running(about.id),
            created=about.created_at,
            updated=about.updated_at,
            removed=removed,
        )

    # What people ask for. All of these raise HistoryError while nothing can be read or stored.

    async def list(self, owner: str = LOCAL, *, limit: int = 50, before: str | None = None) -> Page:
        """A part of the list: the pinned ones, then the others, each by their last use."""
        return await (await self._settled()).list(owner, limit=limit, before=before)

    async def search(self, text: str, owner: str = LOCAL, *, limit: int = 50) -> Sequence[Found]:
        """The conversations whose title or messages hold `text`, the best first."""
        return await (await self._settled()).search(owner, text, limit=limit)

    async def about(self, session_id: str, owner: str = LOCAL) -> About | None:
        """The line of one conversation; None when there is none of that id."""
        session = self._in_memory(session_id, owner)
        return session.about if session is not None else await (await self._history()).about(owner, session_id)

    async def rename(self, session_id: str, title: str, owner: str = LOCAL) -> About | None:
        """Give a conversation another title. None when there is none of that id."""
        return await self._update(session_id, owner, title=title)

    async def pin(self, session_id: str, pinned: bool, owner: str = LOCAL) -> About | None:
        """Keep a conversation at the top of the list, or no longer. None when there is none of that id."""
        return await self._update(session_id, owner, pinned=pinned)

    async def delete(self, session_id: str, owner: str = LOCAL) -> bool:
        """Delete a conversation and end what goes on in it. It can be had back for an hour. False: there is none."""
        session = self._in_memory(session_id, owner)
        history = await self._history()
        if session is not None:
            self._drop(session)
            await self._recorder.saved(session)  # all of it is there when it is had back
        about = await history.about(owner, session_id)
        if about is None or not await history.delete(owner, session_id):
            return False
        if session is not None:
            self._sessions.remove(session)
            self._drop(session)  # whoever came in between
        self._show(about, removed=True)
        await history.purge(self._clock.today() - UNDO_S)
        return True

    async def restore(self, session_id: str, owner: str = LOCAL) -> About | None:
        """Have a deleted conversation back. None when it is gone for good."""
        about = await (await self._history()).restore(owner, session_id)
        if about is not None:
            self._show(about)
        return about

    async def _update(
        self, session_id: str, owner: str, *, title: str | None = None, pinned: bool | None = None
    ) -> About | None:
        session = self._in_memory(session_id, owner)
        if session is None:
            about = await (await self._history()).update(owner, session_id, title=title, pinned=pinned)
        else:
            about = session.about = _updated(session.about, title, pinned)
            self._recorder.changed(session, at_once=True)
            await self._recorder.saved(session)
        if about is not None:
            self._show(about)
        return about

    def _in_memory(self, session_id: str, owner: str) -> Session | None:
        session = self._sessions.get(session_id)
        return session if session is not None and session.head and session.about.owner == owner else None

    async def _history(self) -> History:
        return await self._keeper.history()

    async def _settled(self) -> History:
        """The history, with what happened up to now in it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._recorder.flush()
        return await self._history()


def _updated(about: About, title: str | None, pinned: bool | None) -> About:
    if title is not None:
        about = replace(about, title=title, titled=True)
    return about if pinned is None else replace(about, pinned=pinned)
