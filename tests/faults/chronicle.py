"""What a server knew after every event, so that what a later life of it finds in the history can be held to that."""

from __future__ import annotations

from collections.abc import Callable

from server.fold import Conversation
from server.hub import Hub
from server.protocol import AnyLogEvent, Snapshot
from server.session import Session


class Chronicle:
    """The states of all conversations, by `seq`; and up to where each was promised to be stored."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, Snapshot]] = {}
        self._promised: dict[str, int] = {}

    def note(self, session: Session) -> None:
        """Remember what `session` is now."""
        self._states.setdefault(session.id, {})[session.head] = session.state.snapshot("", "")

    def promise(self, session_id: str, seq: int) -> None:
        """Somebody was told that everything up to `seq` is stored."""
        self._promised[session_id] = max(seq, self._promised.get(session_id, 0))

    def promised(self, session_id: str) -> int:
        return self._promised.get(session_id, 0)

    def kept(self, session_id: str) -> bool:
        """Whether that conversation must be there: it was promised, or it was found in the history before."""
        return self.promised(session_id) > 0

    def check(self, session_id: str, found: Conversation) -> None:
        """Fail unless `found` is what the conversation was at that place, or, of a running answer, a little more."""
        states = self._states[session_id]
        assert found.seq >= self.promised(session_id), "what was promised to be stored is not"
        for seq in [seq for seq in states if seq > found.seq]:
            del states[seq]  # that never was
        if not found.seq:
            assert not found.nodes
            return
        self.promise(session_id, found.seq)
        known, stored = states[found.seq], found.snapshot("", "")
        assert stored.queue == known.queue
        assert [message.id for message in stored.messages] == [message.id for message in known.messages]
        for ours, theirs in zip(stored.messages, known.messages, strict=True):
            if ours.finish_reason is None and ours.error is None and ours.role == "ai":
                assert ours.message.startswith(theirs.message), "text of a running answer is lost or another"
                theirs = theirs.model_copy(update={"message": ours.message})
            assert ours == theirs


class ChronicledHub(Hub):
    """A hub of which every event is noted."""

    chronicle: Chronicle

    def _adopt(self, session: Session) -> Session:
        session = super()._adopt(session)
        self.chronicle.note(session)
        session.published = self._noting(session.published)
        return session

    def _noting(self, published: Callable[[Session, AnyLogEvent], None]) -> Callable[[Session, AnyLogEvent], None]:
        def note(session: Session, event: AnyLogEvent) -> None:
            self.chronicle.note(session)
            published(session, event)

        return note
