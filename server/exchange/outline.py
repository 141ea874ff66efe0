"""What the list says of a conversation that came from elsewhere: its title and its times.

Knows no format: it is given what the document says, and its messages for what the document leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.history.records import LOCAL, About
from server.protocol import SnapshotMessage
from server.titles import MAX_TITLE_CHARS, one_line, title_of


def outline(
    title: str | None,
    created: float | None,
    updated: float | None,
    messages: Sequence[SnapshotMessage],
    now: float,
    *,
    pinned: bool,
    settings: Mapping[str, Any] | None = None,
) -> About:
    """The line of the list. A title counts as given by a person: no rule will replace it."""
    given = one_line(title or "")[:MAX_TITLE_CHARS].strip()
    speaking = (message.message for message in messages if any(letter.isalnum() for letter in message.message))
    times = [message.at for message in messages if message.at is not None]
    begun = created or min(times, default=updated or now)
    return About(
        id="",
        owner=LOCAL,
        title=given or title_of(next(speaking, "")),
        titled=bool(given),
        pinned=pinned,
        created_at=begun,
        updated_at=max(begun, updated or max(times, default=begun)),
        settings=dict(settings or {}),
    )
