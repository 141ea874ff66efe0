"""Our own documents: JSON that holds conversations whole, so that one that is read again is the one that was written.

    {"format": "switchboard", "version": 1, "exported_at": 1763740800.0, "sessions": [
        {"id", "title", "titled", "pinned", "created", "updated", "settings", "head", "messages": [
            {"id", "parent_id"?, "role", "message", "selected", "reasoning"?, "model"?, "params"?, "usage"?, ...}]}]}

The messages are those of a snapshot on the wire, parents before children. What is being written has its text so far,
and no `finish_reason`; read again it is `interrupted`. What waits to be said is no part of the conversation yet.
Knows nothing of files, and neither where conversations come from nor where they go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from server.exchange.draft import BadConversation, DocumentError, Draft
from server.history.records import LOCAL, About, Stored
from server.protocol import SnapshotMessage
from server.titles import MAX_TITLE_CHARS, one_line

FORMAT = "switchboard"
VERSION = 1
SESSION_ID = re.compile("[0-9a-f]{32}")
MAX_SEQ = 2**53
SETTINGS_BYTES = 65_536

Moment = Annotated[float, Field(ge=0, lt=1e11)]  # in Unix seconds
Saved = TypeVar("Saved", bound=BaseModel)
MessageId = Annotated[str, Field(min_length=1, max_length=64)]


def _small(settings: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(settings)) > SETTINGS_BYTES:
        raise ValueError("is too large")
    return settings


class SavedMessage(SnapshotMessage):
    """A message as it stands in a document; its ids are of the length that commands take."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    id: MessageId
    parent_id: MessageId | None = None
    cmd_id: MessageId | None = None
    run: MessageId | None = None
    at: Moment | None = None


class SavedSession(BaseModel):
    """A conversation as it stands in a document."""

    model_config = ConfigDict(allow_inf_nan=False)

    id: Annotated[str, Field(max_length=256)]
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)]
    titled: bool = False
    pinned: bool = False
    created: Moment
    updated: Moment
    settings: Annotated[dict[str, Any], AfterValidator(_small)] = Field(default_factory=dict)
    head: Annotated[int, Field(ge=0, le=MAX_SEQ)] = 0
    messages: list[Any]


# Writing


def told(stored: Stored) -> list[SnapshotMessage]:
    """The messages of a stored conversation in their order, the running answer with its text so far."""
    messages = [record.message for record in sorted(stored.messages, key=lambda record: record.position)]
    if stored.run is None:
        return messages
    texts = {"content": "", "reasoning": ""}
    for channel in texts:
        texts[channel] = "".join(piece.text for piece in stored.pieces if piece.channel == channel)
    return [_with_pieces(each, texts) if each.id == stored.run.id else each for each in messages]


def _with_pieces(message: SnapshotMessage, texts: dict[str, str]) -> SnapshotMessage:
    reasoning = (message.reasoning or "") + texts["reasoning"]
    return message.model_copy(update={"message": message.message + texts["content"], "reasoning": reasoning or None})


def opening(exported_at: float) -> bytes:
    """How a document begins. Conversations follow, with commas between them, and then `CLOSING`."""
    head = orjson.dumps({"format": FORMAT, "version": VERSION, "exported_at": exported_at, "sessions": []})
    return head.removesuffix(CLOSING)


CLOSING = b"]}"


def session_json(stored: Stored) -> bytes:
    """One conversation. It is put together message by message, so that other threads come to their turn."""
    about = stored.about
    head = orjson.dumps(
        {
            "id": about.id,
            "title": about.title,
            "titled": about.titled,
            "pinned": about.pinned,
            "created": about.created_at,
            "updated": about.updated_at,
            "settings": about.settings,
            "head": stored.head,
            "messages": [],
        }
    )
    messages = b",".join(message.model_dump_json(exclude_none=True).encode() for message in told(stored))
    return b"".join((head.removesuffix(CLOSING), messages, CLOSING))


def document(stored: Stored, exported_at: float) -> bytes:
    """A document with one conversation."""
    return b"".join((opening(exported_at), session_json(stored), CLOSING))


# Reading


def check_version(version: object) -> None:
    """Raises DocumentError for a document that a later version wrote."""
    if version != VERSION:
        raise DocumentError("A newer version of Switchboard made this document. Import it with that one.")


def read(conversation: dict[str, object]) -> Draft:
    """One conversation of a document of ours. It keeps its id if that is one of ours. Raises BadConversation."""
    saved = _checked(SavedSession, conversation, ())
    if not saved.messages:
        raise BadConversation("has no messages.")
    messages = [
        _settled(SnapshotMessage(**dict(_checked(SavedMessage, message, ("messages", number)))))
        for number, message in enumerate(saved.messages)  # one by one: other threads come to their turn
    ]
    _check_tree(messages)
    about = About(
        id=saved.id if SESSION_ID.fullmatch(saved.id) else "",
        owner=LOCAL,
        title=one_line(saved.title),
        titled=saved.titled,
        pinned=saved.pinned,
        created_at=saved.created,
        updated_at=saved.updated,
        settings=saved.settings,
    )
    return Draft(about, max([saved.head, len(messages), *_numbers(messages)]), messages, "switchboard", saved.id)


def _settled(message: SnapshotMessage) -> SnapshotMessage:
    """What was being written when the document was made is so no longer."""
    running = message.role == "ai" and message.finish_reason is None and message.error is None
    return message.model_copy(update={"finish_reason": "interrupted"}) if running else message


def _check_tree(messages: Sequence[SnapshotMessage]) -> None:
    """Raises BadConversation unless the messages are a tree with one selected branch."""
    roles: dict[str | None, str] = {None: ""}
    selected: set[str | None] = set()
    for number, message in enumerate(messages):
        field = f"messages.{number}"
        if message.id in roles:
            raise BadConversation(f"has the id of {field} twice.")
        if roles.get(message.parent_id, "notice") == "notice":
            raise BadConversation(f"has no message before {field} that its parent_id names.")
        if message.role == "ai" and roles[message.parent_id] != "user":
            raise BadConversation(f"has an answer to no question in {field}.")
        roles[message.id] = message.role
        if message.role != "notice" and message.selected:
            if message.parent_id in selected:
                raise BadConversation(f"has {field} selected beside another.")
            selected.add(message.parent_id)


def _numbers(messages: Sequence[SnapshotMessage]) -> Iterator[int]:
    """The events that notices are named after: the log must be further than they are, or their names come again."""
    for message in messages:
        kind, _, number = message.id.partition("-")
        if kind == "notice" and number.isascii() and number.isdigit() and len(number) < 16:
            yield int(number)


def _checked(model: type[Saved], value: object, place: tuple[int | str, ...]) -> Saved:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in (*place, *first["loc"]))[:80]
        raise BadConversation(f"has a field that does not fit, {path}: {first['msg']}.") from error
