"""The tables, as SQLAlchemy knows them. Every row has an owner, and every key begins with it.

Knows nothing of how the tables came to be: the migrations tell that, and a test holds the two together.

    sessions ─┬─ messages          the tree; `position` is the order in which they came
              ├─ queue             what waits to be said
              ├─ runs ── pieces    the answer in the making, and its text since it began, as it came
              └─ entries           what search looks in: the words of each title and message
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    false,
)

from server.history.columns import Text, Words

TITLE = ""  # in place of a message's id, where an entry's words are the title's
TITLE_MARK = "¶"  # what each of them begins with, so that titles can be searched by themselves

metadata = MetaData()


def _of_session(table: str) -> ForeignKeyConstraint:
    """What belongs to a conversation goes with it."""
    return ForeignKeyConstraint(
        ["owner", "session_id"], ["sessions.owner", "sessions.id"], name=f"{table}_session", ondelete="CASCADE"
    )


sessions = Table(
    "sessions",
    metadata,
    Column("owner", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("titled", Boolean, nullable=False, server_default=false()),
    Column("pinned", Boolean, nullable=False, server_default=false()),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("deleted_at", Double),
    Column("head", BigInteger, nullable=False),
    Column("settings", JSON, nullable=False),
    PrimaryKeyConstraint("owner", "id", name="sessions_key"),
)
# The list is read off this index from its end, as far as one page goes.
Index(
    "sessions_listed",
    sessions.c.owner,
    sessions.c.pinned,
    sessions.c.updated_at,
    sessions.c.id,
    sqlite_where=sessions.c.deleted_at.is_(None),
    postgresql_where=sessions.c.deleted_at.is_(None),
)
Index(
    "sessions_deleted",
    sessions.c.deleted_at,
    sqlite_where=sessions.c.deleted_at.is_not(None),
    postgresql_where=sessions.c.deleted_at.is_not(None),
)

messages = Table(
    "messages",
    metadata,
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("parent_id", Text),
    Column("position", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("reasoning", Text),
    Column("selected", Boolean, nullable=False),
    Column("cmd_id", Text),
    Column("run", Text),
    Column("model", Text),
    Column("params", JSON(none_as_null=True)),
    Column("usage", JSON(none_as_null=True)),
    Column("timings", JSON(none_as_null=True)),
    Column("finish_reason", Text),
    Column("error", JSON(none_as_null=True)),
    Column("at", Double),
    PrimaryKeyConstraint("owner", "session_id", "id", name="messages_key"),
    _of_session("messages"),
)

queue = Table(
    "queue",
    metadata,
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("prompt", JSON, nullable=False),
    PrimaryKeyConstraint("owner", "session_id", "position", name="queue_key"),
    _of_session("queue"),
)

runs = Table(
    "runs",
    metadata,
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("request", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    PrimaryKeyConstraint("owner", "session_id", "id", name="runs_key"),
    _of_session("runs"),
)

pieces = Table(
    "pieces",
    metadata,
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("token_ids", JSON, nullable=False),
    PrimaryKeyConstraint("owner", "session_id", "run", "number", name="pieces_key"),
    ForeignKeyConstraint(
        ["owner", "session_id", "run"],
        ["runs.owner", "runs.session_id", "runs.id"],
        name="pieces_run",
        ondelete="CASCADE",
    ),
)

entries = Table(
    "entries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("words", Words, nullable=False),
    UniqueConstraint("owner", "session_id", "message_id", name="entries_key"),
    _of_session("entries"),
)
# SQLite has a table of its own for this, `entries_index`, which triggers keep in step with the words.
Index("entries_words", entries.c.words, postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256}).ddl_if(
    dialect="postgresql"
)
