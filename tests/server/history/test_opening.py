"""Opening: addresses, locks, damaged files, files of other versions and other programs."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from server.history.database import parse_url
from server.history.records import LOCAL, HistoryError
from server.history.store import History
from tests.postgresql import Cluster
from tests.server.history.conversations import talk

ROOT = Path(__file__).resolve().parents[3]
URL = "sqlite:///data/switchboard.db"


async def filled(folder: Path, conversations: int = 30) -> Path:
    """A history that was closed in good order. Gives its file."""
    history = await History.open(URL, folder)
    await history.write([talk(f"s{number}", "tea " * 200, "milk " * 200) for number in range(conversations)])
    await history.close()
    return folder / "data" / "switchboard.db"


async def ids(history: History) -> set[str]:
    return set(await history.ids(LOCAL))


def test_addresses_name_a_file_in_the_folder_or_a_server(tmp_path: Path) -> None:
    assert parse_url(URL, tmp_path).database == str(tmp_path / "data" / "switchboard.db")
    assert parse_url("sqlite:////elsewhere/x.db", tmp_path).database == "/elsewhere/x.db"
    server = parse_url("postgresql://me:sesame@db.example:5433/chats?sslmode=require", tmp_path)
    assert (server.host, server.port, server.database) == ("db.example", 5433, "chats")
    assert dict(server.query) == {"ssl": "require"}, "the driver has a name of its own for this"


@pytest.mark.parametrize(
    "url", ["", "switchboard.db", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "postgresql:"]
)
@pytest.mark.anyio
async def test_an_address_of_no_history_is_refused_with_what_is_expected(tmp_path: Path, url: str) -> None:
    with pytest.raises(HistoryError, match=r"^DATABASE_URL .*sqlite:///"):
        await History.open(url, tmp_path)


@pytest.mark.anyio
async def test_what_was_written_is_there_after_a_restart(url: str, tmp_path: Path) -> None:
    for number in range(3):
        history = await History.open(url, tmp_path)
        assert await ids(history) == {f"s{earlier}" for earlier in range(number)}
        assert history.notices == []
        await history.write([talk(f"s{number}", "tea")])
        await history.close()


@pytest.mark.anyio
async def test_a_second_server_is_kept_out_until_the_first_has_closed(url: str, tmp_path: Path) -> None:
    first = await History.open(url, tmp_path)
    with pytest.raises(HistoryError, match=r"^Another server uses this history\.$"):
        await History.open(url, tmp_path)
    await first.close()
    second = await History.open(url, tmp_path)
    await second.close()


@pytest.mark.anyio
async def test_the_folder_and_the_file_are_for_their_user_alone(tmp_path: Path) -> None:
    file = await filled(tmp_path)
    assert file.stat().st_mode & 0o077 == 0, "what people say is nobody else's business"
    assert [path.name for path in file.parent.iterdir() if path.suffix != ".lock"] == [file.name], (
        "closing leaves one file"
    )


def scribbled_header(content: bytes) -> bytes:
    return random.Random(1).randbytes(100) + content[100:]


def no_database(content: bytes) -> bytes:
    return b"Dear diary, " * 1000


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2 + 77]


def flipped_pages(content: bytes) -> bytes:
    """Every fourth page but the first reads like something else."""
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    rng = random.Random(2)
    return b"".join(rng.randbytes(4096) if number % 4 == 3 else page for number, page in enumerate(pages))


@pytest.mark.anyio
@pytest.mark.parametrize("damage", [scribbled_header, no_database, truncated, flipped_pages])
async def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    file = await filled(tmp_path)
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    file.with_name(f"{file.name}-wal").write_bytes(b"not a log")
    history = await History.open(URL, tmp_path)
    try:
        assert await ids(history) == set()
        await history.write([talk("new", "tea")])
        (notice,) = history.notices
        aside = re.fullmatch(r"The history was damaged\. It has been moved aside to (\S+), and .*\.", notice)
        assert aside is not None
        assert (file.parent / aside[1]).read_bytes() == damaged, "whoever wants to mend it finds it as it was"
        assert (file.parent / f"{aside[1]}-wal").exists(), "what belongs to it went along"
    finally:
        await history.close()
    again = await History.open(URL, tmp_path)
    assert (await ids(again), again.notices) == ({"new"}, [])
    await again.close()


@pytest.mark.anyio
async def test_two_damaged_files_in_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    for _ in range(3):
        file = await filled(tmp_path, 1)
        file.write_bytes(b"x" * 5000)
    await (await History.open(URL, tmp_path)).close()
    assert len(list(file.parent.glob("switchboard.damaged-*.db"))) == 3


@pytest.mark.anyio
async def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "switchboard.db").touch()
    history = await History.open(URL, tmp_path)
    assert (await ids(history), history.notices) == (set(), [])
    await history.close()


@pytest.mark.anyio
async def test_a_copy_without_its_shared_memory_opens_with_all_that_was_committed(tmp_path: Path) -> None:
    history = await History.open(URL, tmp_path)
    await history.write([talk("s1", "tea")])
    copy = tmp_path / "copy" / "data"
    copy.mkdir(parents=True)
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / "data" / f"switchboard.db{suffix}", copy)
    await history.close()
    copied = await History.open(URL, tmp_path / "copy")
    assert (await ids(copied), copied.notices) == ({"s1"}, [])
    await copied.close()


@pytest.mark.anyio
async def test_a_history_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = await filled(tmp_path)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()
    with pytest.raises(HistoryError, match=r"newer version of Switchboard"):
        await History.open(URL, tmp_path)
    assert file.read_bytes() == before


@pytest.mark.anyio
async def test_a_newer_history_on_postgresql_is_refused_too(tmp_path: Path, postgresql: Cluster) -> None:
    url = postgresql.empty()
    await (await History.open(url, tmp_path)).close()
    postgresql.ask("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(HistoryError, match=r"newer version of Switchboard"):
        await History.open(url, tmp_path)


@pytest.mark.anyio
async def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "data" / "switchboard.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE messages (body TEXT)")
    before = file.read_bytes()
    with pytest.raises(HistoryError, match="tables of another program"):
        await History.open(URL, tmp_path)
    assert file.read_bytes() == before


@pytest.mark.anyio
async def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data" / "switchboard.db").mkdir(parents=True)
    with pytest.raises(HistoryError, match=r"^The history's file cannot be opened\.$"):
        await History.open(URL, tmp_path)


@pytest.mark.anyio
async def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(HistoryError, match=r"^The history's file cannot be opened\.$"):
        await History.open(URL, tmp_path)


OPEN = """
import asyncio, sys
from pathlib import Path
from server.history.records import HistoryError
from server.history.store import History

try:
    asyncio.run(History.open("sqlite:///data/switchboard.db", Path(sys.argv[1])))
except HistoryError as error:
    print(error)
"""
BOUND_BY_MODES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("first_start", [True, False])
def test_a_folder_that_takes_no_files_is_told(tmp_path: Path, first_start: bool) -> None:
    """In a process that has to respect the folder's mode, as root has not."""
    file = asyncio.run(filled(tmp_path))
    if first_start:
        file.unlink()
        file.with_name(f"{file.name}.lock").unlink()
    else:
        file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        command = [*BOUND_BY_MODES, sys.executable, "-c", OPEN, str(tmp_path)]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        file.parent.chmod(0o700)
    assert told.stdout.startswith("The history is read-only"), told.stderr


@pytest.mark.anyio
async def test_a_database_that_is_not_there_is_told(tmp_path: Path, postgresql: Cluster) -> None:
    with pytest.raises(HistoryError, match="no database of the name"):
        await History.open(postgresql.url("nowhere"), tmp_path)


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be reached"):
        await History.open("postgresql://me@127.0.0.1:1/db", tmp_path)
    with pytest.raises(HistoryError, match="cannot be reached"):
        await History.open(f"postgresql://me@/db?host={tmp_path}", tmp_path)


@pytest.mark.anyio
async def test_what_is_told_names_no_paths(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(HistoryError) as caught:
        await History.open(URL, tmp_path)
    assert os.sep not in str(caught.value)
