"""Bringing a database to the tables that this version of the program works with.

Knows nothing of what the tables hold. Alembic is imported only where there is something to do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.history.database import sqlite_engine
from server.history.migrations import HEAD
from server.history.records import HistoryError
from server.history.tables import metadata

MIGRATIONS = Path(__file__).parent / "migrations"


def revision(connection: Connection) -> str | None:
    """Where the database stands; None where there is nothing yet. Raises HistoryError for one that is not ours."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None and found not in known_revisions(found):
            raise HistoryError("The history was written by a newer version of Switchboard. Update this one.")
        return found
    if names & set(metadata.tables):
        raise HistoryError("The database that DATABASE_URL names holds tables of another program.")
    return None


def known_revisions(found: str) -> set[str]:
    """The steps that this version knows; `found` spares the look at the files where it is the newest."""
    if found == HEAD:
        return {HEAD}
    from alembic.script import ScriptDirectory

    return {step.revision for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


async def upgrade(url: URL, target: str = HEAD) -> None:
    """Take every step up to `target`, each in a transaction, in a thread and an event loop of their own."""
    await asyncio.to_thread(asyncio.run, _upgrade(url, target))


async def _upgrade(url: URL, target: str) -> None:
    if url.get_backend_name() == "sqlite":
        engine = sqlite_engine(url, (), "BEGIN IMMEDIATE", poolclass=NullPool)
    else:
        engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run_steps, target)
    finally:
        await engine.dispose()


def run_steps(connection: Connection, target: str) -> None:
    """Let alembic work on `connection`, which is in no transaction yet."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, target)
