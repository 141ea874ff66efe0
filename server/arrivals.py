"""The conversations of an imported document, on their way into the history: which are new, and under which id.

One that is here already is left out, one that was deleted is had back, and one that is here in another version comes
in beside it. Knows nothing of documents' forms.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from server.exchange.draft import Draft, fingerprint
from server.exchange.own import told
from server.history.records import About, Change, MessageRecord
from server.history.store import History

BATCH_MESSAGES = 500  # stored at once: the loop has no time for more
LISTED_AT_ONCE = 500


class Arrivals:
    """The conversations of one document, each given its place and stored."""

    def __init__(
        self, history: History, owner: str, in_memory: Callable[[str], bool], show: Callable[[About], None]
    ) -> None:
        self._history = history
        self._owner = owner
        self._in_memory = in_memory
        self._show = show
        self._here: set[str] = set()  # the ids of the conversations that there are
        self._others: set[str] = set()  # those of other owners
        self._known: set[tuple[str, str]] = set()  # source and fingerprint of what was imported before
        self._waiting: list[Change] = []
        self._messages = 0
        self._arrived: list[About] = []

    async def look_around(self) -> None:
        """Learn what there is, and what earlier imports brought: the same export may be imported again each month."""
        self._here.update(await self._history.ids(self._owner))
        self._others = await self._history.ids_of_others(self._owner)
        before: str | None = None
        while True:
            page = await self._history.list(self._owner, limit=LISTED_AT_ONCE, before=before)
            for about in page.items:
                origin = about.settings.get("imported")
                if isinstance(origin, dict):
                    self._known.add((str(origin.get("from")), str(origin.get("fingerprint"))))
            if page.next is None:
                return
            before = page.next

    async def add(self, draft: Draft) -> bool:
        """Give `draft` its place. False when it is here already."""
        print_ = await asyncio.to_thread(fingerprint, draft.messages)
        if (draft.source, print_) in self._known:
            return False
        standing = await self._standing(draft.about.id, print_)
        if standing == "free":
            self._take(draft, draft.about)
        elif standing == "taken":
            origin = {"from": draft.source, "id": draft.source_id, "fingerprint": print_}
            settings = {**draft.about.settings, "imported": origin}
            self._take(draft, replace(draft.about, id=secrets.token_hex(16), settings=settings))
        self._known.add((draft.source, print_))
        return standing != "here"

    def _take(self, draft: Draft, about: About) -> None:
        """Let `draft` wait to be stored. A long one is several changes, which are stored one after the other."""
        about = replace(about, owner=self._owner)
        records = [MessageRecord(number, message) for number, message in enumerate(draft.messages)]
        for start in range(0, len(records), BATCH_MESSAGES):
            self._waiting.append(Change(about, draft.head, records[start : start + BATCH_MESSAGES]))
        self._messages += len(records)
        self._arrived.append(about)

    async def store_when_many(self) -> Sequence[str]:
        """Store what waits, if that is enough for a transaction. Gives the ids of what came in."""
        return await self.store() if self._messages >= BATCH_MESSAGES else ()

    async def store(self) -> Sequence[str]:
        """Store what waits, all of it or nothing. Gives the ids of what came in."""
        waiting, self._waiting, self._messages = self._waiting, [], 0
        arrived, self._arrived = self._arrived, []
        if waiting:
            await self._history.write(waiting)
        self._here.update(about.id for about in arrived)
        for about in arrived:
            self._show(about)
        return [about.id for about in arrived]

    async def _standing(self, own_id: str, print_: str) -> Literal["free", "taken", "here", "back"]:
        """How it stands with a conversation's own id. `back`: it was here, deleted, and can be had back."""
        if not own_id or any(about.id == own_id for about in self._arrived):
            return "taken"
        if own_id in self._here:
            return "here" if await self._is_stored(own_id, print_) else "taken"
        about = await self._history.restore(self._owner, own_id)
        if about is None:
            return "taken" if own_id in self._others or self._in_memory(own_id) else "free"
        if await self._is_stored(own_id, print_):
            self._arrived.append(about)
            return "back"
        await self._history.delete(self._owner, own_id)
        return "taken"

    async def _is_stored(self, session_id: str, print_: str) -> bool:
        """Whether the conversation of that id has the messages of this fingerprint."""
        stored = await self._history.load(self._owner, session_id)
        return stored is not None and await asyncio.to_thread(lambda: fingerprint(told(stored))) == print_
