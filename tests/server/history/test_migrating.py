"""From every version that there ever was to the newest, with conversations in it, on every database."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from server.history import migrating
from server.history.database import parse_url
from server.history.migrating import MIGRATIONS, upgrade
from server.history.migrations import HEAD
from server.history.records import LOCAL
from server.history.sqlite_file import KEPT_BACKUPS
from server.history.store import History
from server.history.tables import metadata
from tests.server.history.conversations import talk

DATA = Path(__file__).resolve().parents[2] / "data" / "history"
STEPS = ScriptDirectory(str(MIGRATIONS))
REVISIONS = [step.revision for step in STEPS.walk_revisions()][::-1]


@asynccontextmanager
async def connected(url: str, folder: Path) -> AsyncGenerator[AsyncConnection]:
    engine = create_async_engine(parse_url(url, folder), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def at_revision(url: str, folder: Path, revision: str) -> None:
    """A database as that version left it, with what its script says that people did."""
    (folder / "data").mkdir()
    await upgrade(parse_url(url, folder), revision)
    script = (DATA / f"{revision}.sql").read_text()
    async with connected(url, folder) as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                await connection.exec_driver_sql(translated(statement, connection.dialect.name))


def translated(statement: str, dialect: str) -> str:
    """The scripts write `words('green tea')` for what each database keeps in a way of its own."""
    own = r"array_to_tsvector(string_to_array(\1, ' '))" if dialect == "postgresql" else r"\1"
    return re.sub(r"words\(('[^']*')\)", own, statement)


@pytest.mark.anyio
@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_version_is_brought_to_the_newest_with_all_that_is_in_it(
    url: str, tmp_path: Path, revision: str
) -> None:
    await at_revision(url, tmp_path, revision)
    history = await History.open(url, tmp_path)
    try:
        stored = await history.load(LOCAL, "s1")
        assert stored is not None
        assert (stored.about.title, stored.about.pinned, stored.head) == ("Green tea", True, 9)
        assert [record.message.message for record in stored.messages] == ["Which tea?", "Grüner Tee.", "Black tea.", ""]
        assert [record.message.selected for record in stored.messages] == [True, False, True, True]
        assert stored.messages[1].message.params is not None
        assert stored.messages[1].message.params.seed == 7
        assert stored.queue == [{"id": "q1", "message": "And milk?"}]
        assert stored.run is not None
        assert [(piece.text, piece.token_ids) for piece in stored.pieces] == [("Wi", (1, 2)), ("th", (3,))]
        assert (await history.list(LOCAL)).items == [stored.about], "the deleted one is not listed"
        assert [(found.about.id, found.message_id) for found in await history.search(LOCAL, "gruner")] == [("s1", "a1")]
        assert [(found.about.id, found.message_id) for found in await history.search(LOCAL, "green")] == [("s1", None)]
        restored = await history.restore(LOCAL, "s2")
        assert restored is not None
        await history.write([talk("s3", "new")])
    finally:
        await history.close()


def test_every_version_has_a_script_of_what_people_did() -> None:
    assert {path.stem for path in DATA.glob("*.sql")} == set(REVISIONS)


def test_there_is_one_newest_version_and_the_program_knows_it() -> None:
    assert STEPS.get_heads() == [HEAD]


@pytest.mark.anyio
async def test_the_steps_end_at_the_tables_that_the_program_works_with(url: str, tmp_path: Path) -> None:
    await (await History.open(url, tmp_path)).close()

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))

    async with connected(url, tmp_path) as connection:
        assert await connection.run_sync(differences) == []
        names = await connection.run_sync(lambda made: set(inspect(made).get_table_names()))
    index = {name for name in names if name.startswith("entries_index")}
    assert names == {*metadata.tables, "alembic_version", *index}
    assert bool(index) == url.startswith("sqlite"), "PostgreSQL looks for words in the table itself"


def is_ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    """What alembic is to compare: not SQLite's table for the search, nor the index that PostgreSQL has for it."""
    if isinstance(thing, Index):
        return thing.dialect_options["postgresql"]["using"] != "gin"
    return not (kind == "table" and name is not None and name.startswith(("entries_index", "alembic_version")))


@pytest.mark.anyio
async def test_a_database_at_the_newest_version_is_opened_without_alembic(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await History.open(url, tmp_path)).close()
    monkeypatch.delattr(migrating, "run_steps")
    await (await History.open(url, tmp_path)).close()


def next_step(folder: Path, body: str) -> None:
    """One more version, after the newest that there is."""
    (folder / "next.py").write_text(
        f"from alembic import op\nrevision = 'next'\ndown_revision = {HEAD!r}\n\ndef upgrade():\n    {body}\n"
    )


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that knows one step more. Gives the folder in which to write it."""
    folder = tmp_path / "migrations"
    versions = folder / "versions"
    versions.mkdir(parents=True)
    for file in (MIGRATIONS / "env.py", *(MIGRATIONS / "versions").glob("[a-z]*.py")):
        (folder / file.relative_to(MIGRATIONS)).write_text(file.read_text())
    monkeypatch.setattr(migrating, "MIGRATIONS", folder)
    monkeypatch.setattr(migrating, "HEAD", "next")
    monkeypatch.setattr("server.history.opening.HEAD", "next")
    monkeypatch.setattr(upgrade, "__defaults__", ("next",))
    return versions


@pytest.mark.anyio
async def test_a_copy_is_kept_of_a_file_before_it_is_migrated(tmp_path: Path, newer: Path) -> None:
    url = "sqlite:///data/switchboard.db"
    await at_revision(url, tmp_path, HEAD)
    next_step(newer, "op.execute('ALTER TABLE sessions ADD COLUMN colour TEXT')")
    await (await History.open(url, tmp_path)).close()
    (backup,) = (tmp_path / "data").glob("switchboard.backup-*.db")
    assert backup.stat().st_mode & 0o077 == 0, "a copy is as private as the history"
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (5,)
        assert "colour" not in {row[1] for row in connection.execute("PRAGMA table_info(sessions)")}
    async with connected(url, tmp_path) as opened:
        assert (await opened.execute(text("SELECT colour FROM sessions"))).scalars().all() == [None, None]


@pytest.mark.anyio
async def test_a_step_that_fails_leaves_the_database_as_it_was(url: str, tmp_path: Path, newer: Path) -> None:
    await at_revision(url, tmp_path, HEAD)
    next_step(newer, "op.execute('ALTER TABLE sessions ADD COLUMN colour TEXT'); op.execute('SELECT no_such_thing')")
    with pytest.raises(Exception, match="history fails"):
        await History.open(url, tmp_path)
    async with connected(url, tmp_path) as connection:
        columns = await connection.run_sync(
            lambda made: {column["name"] for column in inspect(made).get_columns("sessions")}
        )
        assert "colour" not in columns
        assert (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all() == [HEAD]


@pytest.mark.anyio
async def test_of_many_copies_the_last_few_are_kept(tmp_path: Path, newer: Path) -> None:
    url = "sqlite:///data/switchboard.db"
    await at_revision(url, tmp_path, HEAD)
    file = tmp_path / "data" / "switchboard.db"
    old = file.read_bytes()
    next_step(newer, "pass")
    for _ in range(KEPT_BACKUPS + 2):
        file.write_bytes(old)
        await (await History.open(url, tmp_path)).close()
    assert len(list((tmp_path / "data").glob("switchboard.backup-*.db"))) == KEPT_BACKUPS


def test_the_event_loop_is_free_while_a_database_is_migrated(tmp_path: Path) -> None:
    """A migration may take minutes. A ticking task notices every moment in which the loop's own thread computes."""

    async def run() -> float:
        longest, last = 0.0, time.thread_time()
        opening = asyncio.create_task(History.open("sqlite:///data/switchboard.db", tmp_path))
        while not opening.done():
            await asyncio.sleep(0.005)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
        await (await opening).close()
        return longest

    assert asyncio.run(run()) < 0.25
