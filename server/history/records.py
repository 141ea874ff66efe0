"""What the history keeps, as values: conversations, their messages, and the answers that were not done.

Rows and queries are another module's matter, and so is what a conversation means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from server.protocol import SnapshotMessage

LOCAL = "local"  # the one owner there is while nobody logs in


class HistoryError(Exception):
    """The history cannot be read or written now. `str(error)` is a sentence for a person, without paths."""


@dataclass(slots=True, frozen=True)
class About:
    """A conversation without its messages: one line of the list. Times are Unix seconds.

    `titled`: a person gave it its title. `settings`: what was chosen for this conversation.
    """

    id: str
    owner: str
    title: str
    titled: bool
    pinned: bool
    created_at: float
    updated_at: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class MessageRecord:
    """A message, and when it came among the others: parents come before their children."""

    position: int
    message: SnapshotMessage


@dataclass(slots=True, frozen=True)
class Piece:
    """A part of a running answer, and the tokens that it came of."""

    channel: Literal["content", "reasoning"]
    text: str
    token_ids: tuple[int, ...] = ()


@dataclass(slots=True, frozen=True)
class RunRecord:
    """An answer that is not done. `id` is its message's; `request` is JSON: all it takes to ask for the rest of it.

    `attempts`: how often it was begun.
    """

    id: str
    request: Mapping[str, Any]
    attempts: int = 1


@dataclass(slots=True, frozen=True)
class Change:
    """What of one conversation is to be written, all or nothing. Written twice it is the same as once.

    `queue` is the whole queue, when it is another. `pieces` are of `run`, the answer that runs now, numbered from
    `first_piece`; `run_stored` says that the run itself is there already: its request may be a long one. The runs in
    `ended` are over: their rows and pieces go.
    """

    about: About
    head: int  # the `seq` of the log
    messages: Sequence[MessageRecord] = ()
    removed: Sequence[str] = ()
    queue: Sequence[Mapping[str, Any]] | None = None
    run: RunRecord | None = None
    run_stored: bool = False
    first_piece: int = 0
    pieces: Sequence[Piece] = ()
    ended: Sequence[str] = ()


@dataclass(slots=True, frozen=True)
class Stored:
    """A conversation as it is kept.

    The message of `run` has the text that was there when it began; its `pieces` come on top of it.
    """

    about: About
    head: int
    messages: Sequence[MessageRecord]
    queue: Sequence[Mapping[str, Any]] = ()
    run: RunRecord | None = None
    pieces: Sequence[Piece] = ()


@dataclass(slots=True, frozen=True)
class Page:
    """A part of the list; `next` is where the following part begins."""

    items: Sequence[About]
    next: str | None = None


@dataclass(slots=True, frozen=True)
class Found:
    """A conversation that holds what was looked for: where, and the words around it.

    `marks` are the hits in `snippet`, from and up to which code point. Without `message_id` the title holds it.
    """

    about: About
    message_id: str | None
    snippet: str
    marks: Sequence[tuple[int, int]] = ()
