"""Records into rows and back. Knows neither SQL nor connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import RowMapping

from server.history.records import About, Change, HistoryError, MessageRecord, Piece, RunRecord
from server.history.tables import TITLE, TITLE_MARK
from server.history.words import words_of
from server.protocol import SnapshotMessage

Row = dict[str, Any]


def session_row(change: Change) -> Row:
    """The conversation's own row."""
    about = change.about
    return {
        "owner": about.owner,
        "id": about.id,
        "title": about.title,
        "titled": about.titled,
        "pinned": about.pinned,
        "created_at": about.created_at,
        "updated_at": about.updated_at,
        "head": change.head,
        "settings": dict(about.settings),
    }


def message_rows(change: Change) -> Iterator[Row]:
    """Its messages that are new or have changed."""
    for record in change.messages:
        message = record.message
        yield {
            **key(change),
            "id": message.id,
            "parent_id": message.parent_id,
            "position": record.position,
            "role": message.role,
            "text": message.message,
            "reasoning": message.reasoning,
            "selected": message.selected,
            "cmd_id": message.cmd_id,
            "run": message.run,
            "model": message.model,
            "params": _json(message.params),
            "usage": _json(message.usage),
            "timings": _json(message.timings),
            "finish_reason": message.finish_reason,
            "error": _json(message.error),
            "at": message.at,
        }


def entry_rows(change: Change) -> Iterator[Row]:
    """What search is to find: the title, what people said, and answers that are done."""
    yield title_row(change.about)
    for record in change.messages:
        message = record.message
        if message.role == "user" or message.finish_reason or message.error:
            yield {**key(change), "message_id": message.id, "words": words_of(message.message)}


def title_row(about: About) -> Row:
    """What search is to find of a title."""
    return {
        "owner": about.owner,
        "session_id": about.id,
        "message_id": TITLE,
        "words": words_of(about.title, TITLE_MARK),
    }


def queue_rows(change: Change) -> Iterator[Row]:
    """Everything that waits."""
    for position, prompt in enumerate(change.queue or ()):
        yield {**key(change), "position": position, "prompt": dict(prompt)}


def run_rows(change: Change) -> Iterator[Row]:
    """The answer in the making, if there is one that is not stored yet."""
    if change.run and not change.run_stored:
        yield {**key(change), "id": change.run.id, "request": dict(change.run.request), "attempts": change.run.attempts}


def piece_rows(change: Change) -> Iterator[Row]:
    """What has come of it since the last change."""
    for number, piece in enumerate(change.pieces, change.first_piece):
        assert change.run is not None, "Pieces are of a run."
        yield {
            **key(change),
            "run": change.run.id,
            "number": number,
            "channel": piece.channel,
            "text": piece.text,
            "token_ids": list(piece.token_ids),
        }


def named_rows(change: Change, ids: Iterable[str]) -> Iterator[Row]:
    """Keys of rows of the conversation, as parameters of a deletion."""
    for identity in ids:
        yield {**key(change), "named": identity}


def key(change: Change) -> Row:
    """What every row of the conversation has."""
    return {"owner": change.about.owner, "session_id": change.about.id}


def _json(part: BaseModel | None) -> dict[str, Any] | None:
    return part.model_dump(mode="json", exclude_none=True) if part is not None else None


def about_of(row: RowMapping) -> About:
    """A conversation's own row as a line of the list."""
    return About(
        id=row["id"],
        owner=row["owner"],
        title=row["title"],
        titled=row["titled"],
        pinned=row["pinned"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        settings=row["settings"],
    )


_SAME_NAME = (
    "id", "parent_id", "role", "reasoning", "selected", "cmd_id", "run", "model", "params", "usage", "timings",
    "finish_reason", "error", "at",
)  # fmt: skip


def message_of(row: RowMapping) -> MessageRecord:
    """A row of `messages` as the message it was. Raises HistoryError for one of a kind that is not known here."""
    fields: Mapping[str, Any] = {name: row[name] for name in _SAME_NAME}
    try:
        return MessageRecord(row["position"], SnapshotMessage(message=row["text"], **fields))
    except ValidationError as error:
        raise HistoryError("This conversation holds a message that this version of Switchboard cannot read.") from error


def run_of(row: RowMapping) -> RunRecord:
    """A row of `runs`."""
    return RunRecord(row["id"], row["request"], row["attempts"])


def piece_of(row: RowMapping) -> Piece:
    """A row of `pieces`."""
    return Piece(row["channel"], row["text"], tuple(row["token_ids"]))
