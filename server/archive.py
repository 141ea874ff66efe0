"""Takes conversations out of the history, each once, and goes on with what was going on in them.

Owns the way from what is stored to what is in memory. Knows nothing of sockets or commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from server.history.records import Change, HistoryError, Stored
from server.keeper import REOPEN_S, Keeper
from server.recorder import Recorder
from server.revival import Revived, revive
from server.session import Session
from server.sessions import Sessions
from server.turns import Turns

OPENING_GRACE_S = 10.0

log = structlog.get_logger()


class Archive:
    """The conversations that are stored and not in memory."""

    def __init__(
        self,
        keeper: Keeper,
        sessions: Sessions,
        recorder: Recorder,
        adopt: Callable[[Session], Session],
        turns: Callable[[Session], Turns],
    ) -> None:
        """`adopt` is called with each session that is taken out; `turns` gives what goes on in it."""
        self._keeper = keeper
        self._sessions = sessions
        self._recorder = recorder
        self._adopt = adopt
        self._turns = turns
        self._reviving: dict[tuple[str, str], asyncio.Task[Session | None]] = {}
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the history and go on with unfinished answers, or go on trying to beside everything else."""
        if not self._keeper.enabled:
            return
        tried = asyncio.Event()
        self._opening = asyncio.create_task(self._take_up(tried), name="open the history")
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING_GRACE_S):
                await tried.wait()

    async def close(self) -> None:
        """Give the history back."""
        if self._opening is not None:
            self._opening.cancel()
        await self._keeper.close()

    async def get(self, session_id: str, owner: str) -> Session | None:
        """The conversation of that id, from memory or out of the history. Raises HistoryError."""
        session = self._sessions.get(session_id)
        if session is None and self._keeper.enabled:
            asked = owner, session_id  # whoever asks for what is not theirs must not get in its owner's way
            task = self._reviving.get(asked)
            if task is None:
                task = self._reviving[asked] = asyncio.create_task(self._revive(session_id, owner))
                task.add_done_callback(lambda _: self._reviving.pop(asked))
            session = await asyncio.shield(task)
        return session if session is not None and session.about.owner == owner else None

    async def _take_up(self, tried: asyncio.Event) -> None:
        """`tried` is set when this was done or has failed for the first time."""
        while True:
            try:
                history = await self._keeper.history()
                for notice in history.notices:
                    log.warning(notice)
                for owner, session_id in await history.unfinished():
                    await self.get(session_id, owner)
            except HistoryError as error:
                self._recorder.failing(str(error))
            else:
                return
            finally:
                tried.set()
            await asyncio.sleep(REOPEN_S)

    async def _revive(self, session_id: str, owner: str) -> Session | None:
        history = await self._keeper.history()
        stored = await history.load(owner, session_id)
        if stored is None:
            return None
        revived = await asyncio.to_thread(revive, stored)  # a long one takes its time
        if revived.checkpoint is not None:  # that it is begun once more is known before anything can come of it
            await history.write([_begun_again(stored, revived)])
        session = self._adopt(self._sessions.add(stored.about, revived.state))
        self._turns(session).restore(revived)
        return session


def _begun_again(stored: Stored, revived: Revived) -> Change:
    assert revived.checkpoint is not None
    checkpoint = revived.checkpoint
    return Change(stored.about, stored.head, run=checkpoint.record(), first_piece=checkpoint.pieces)
