"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# The words lie in `entries`, the index only points there. They were folded before: plain ASCII rules tell them apart.
SQLITE_INDEX = (
    """
    CREATE VIRTUAL TABLE entries_index USING fts5(
        words, content='entries', content_rowid='id', detail='none', columnsize=0, prefix='1 2 3', tokenize='ascii'
    )
    """,
    """
    CREATE TRIGGER entries_inserted AFTER INSERT ON entries BEGIN
        INSERT INTO entries_index(rowid, words) VALUES (new.id, new.words);
    END
    """,
    """
    CREATE TRIGGER entries_deleted AFTER DELETE ON entries BEGIN
        INSERT INTO entries_index(entries_index, rowid, words) VALUES ('delete', old.id, old.words);
    END
    """,
    """
    CREATE TRIGGER entries_updated AFTER UPDATE OF words ON entries BEGIN
        INSERT INTO entries_index(entries_index, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO entries_index(rowid, words) VALUES (new.id, new.words);
    END
    """,
)


def upgrade() -> None:
    """Make them all."""
    _sessions()
    _messages()
    _running()
    _entries()


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _session_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["owner", "session_id"], ["sessions.owner", "sessions.id"], name=f"{table}_session", ondelete="CASCADE"
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        _text("owner"),
        _text("id"),
        _text("title"),
        sa.Column("titled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("deleted_at", sa.Double),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("owner", "id", name="sessions_key"),
    )
    for name, columns, where in (
        ("sessions_listed", ["owner", "pinned", "updated_at", "id"], sa.text("deleted_at IS NULL")),
        ("sessions_deleted", ["deleted_at"], sa.text("deleted_at IS NOT NULL")),
    ):
        op.create_index(name, "sessions", columns, sqlite_where=where, postgresql_where=where)


def _messages() -> None:
    op.create_table(
        "messages",
        _text("owner"),
        _text("session_id"),
        _text("id"),
        _text("parent_id", null=True),
        sa.Column("position", sa.Integer, nullable=False),
        _text("role"),
        _text("text"),
        _text("reasoning", null=True),
        sa.Column("selected", sa.Boolean, nullable=False),
        _text("cmd_id", null=True),
        _text("run", null=True),
        _text("model", null=True),
        sa.Column("params", sa.JSON),
        sa.Column("usage", sa.JSON),
        sa.Column("timings", sa.JSON),
        _text("finish_reason", null=True),
        sa.Column("error", sa.JSON),
        sa.Column("at", sa.Double),
        sa.PrimaryKeyConstraint("owner", "session_id", "id", name="messages_key"),
        _session_key("messages"),
    )


def _running() -> None:
    op.create_table(
        "queue",
        _text("owner"),
        _text("session_id"),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("prompt", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("owner", "session_id", "position", name="queue_key"),
        _session_key("queue"),
    )
    op.create_table(
        "runs",
        _text("owner"),
        _text("session_id"),
        _text("id"),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("owner", "session_id", "id", name="runs_key"),
        _session_key("runs"),
    )
    op.create_table(
        "pieces",
        _text("owner"),
        _text("session_id"),
        _text("run"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("channel"),
        _text("text"),
        sa.Column("token_ids", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("owner", "session_id", "run", "number", name="pieces_key"),
        sa.ForeignKeyConstraint(
            ["owner", "session_id", "run"],
            ["runs.owner", "runs.session_id", "runs.id"],
            name="pieces_run",
            ondelete="CASCADE",
        ),
    )


def _entries() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        _text("owner"),
        _text("session_id"),
        _text("message_id"),
        sa.Column("words", postgresql.TSVECTOR if on_postgresql else sa.Text, nullable=False),
        sa.UniqueConstraint("owner", "session_id", "message_id", name="entries_key"),
        _session_key("entries"),
    )
    if on_postgresql:
        # New words wait in a list, through which every search has to go: kept short, it costs milliseconds at most.
        op.create_index(
            "entries_words",
            "entries",
            ["words"],
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 256},
        )
        return
    for statement in SQLITE_INDEX:
        op.execute(statement)
