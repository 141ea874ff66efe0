"""What goes wrong while the history is open: it is told, nothing is spoilt, and afterwards it works again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from server.history.records import LOCAL, HistoryError
from server.history.store import History
from tests.postgresql import Cluster
from tests.server.history.conversations import about, change, talk, user
from tests.server.history.disks import small_disk

pytestmark = pytest.mark.anyio
URL = "sqlite:///data/switchboard.db"


@pytest.fixture
async def history(tmp_path: Path) -> AsyncGenerator[History]:
    """On SQLite, and without patience."""
    opened = await History.open(URL, tmp_path, busy_ms=50)
    try:
        yield opened
    finally:
        await opened.close()


def file_of(folder: Path) -> Path:
    return folder / "data" / "switchboard.db"


def check_file(folder: Path) -> None:
    with closing(sqlite3.connect(file_of(folder))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.execute("INSERT INTO entries_index(entries_index, rank) VALUES ('integrity-check', 1)")


async def ids(history: History) -> set[str]:
    return set(await history.ids(LOCAL))


async def fill_up(history: History) -> set[str]:
    """Write until there is no more room. Gives what was written."""
    written = set[str]()
    told = ""
    while not told:
        identity = f"s{len(written)}"
        try:
            await history.write([talk(identity, os.urandom(4000).hex(), os.urandom(4000).hex())])
            written.add(identity)
        except HistoryError as error:
            told = str(error)
    assert told == "The disk that holds the history is full."
    return written


async def test_a_full_disk_is_told_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data"):
        ballast = tmp_path / "data" / "ballast"
        ballast.write_bytes(bytes(500_000))
        history = await History.open(URL, tmp_path)
        try:
            written = await fill_up(history)
            assert await ids(history) == written, "what was written before is still there"
            ballast.unlink()
            await history.write([talk("late", "There is room again.")])
        finally:
            await history.close()
        check_file(tmp_path)
        again = await History.open(URL, tmp_path)
        assert (await ids(again), again.notices) == (written | {"late"}, [])
        await again.close()


async def test_a_database_that_may_not_grow_is_told_and_works_again(history: History, tmp_path: Path) -> None:
    async with history._database.writing() as connection:
        await connection.execute(text("PRAGMA max_page_count = 200"))
    written = await fill_up(history)
    assert await ids(history) == written
    async with history._database.writing() as connection:
        await connection.execute(text("PRAGMA max_page_count = 1000000"))
    await history.write([talk("late", "There is room again.")])
    assert await ids(history) == written | {"late"}
    await history.close()
    check_file(tmp_path)


async def test_another_program_that_locks_the_file_is_told_and_waited_for(history: History, tmp_path: Path) -> None:
    await history.write([talk("s1", "before")])
    with closing(sqlite3.connect(file_of(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match=r"^The history is locked by another program\.$"):
            await history.write([talk("s2", "meanwhile")])
        assert await ids(history) == {"s1"}, "reading goes on"
        other.execute("COMMIT")
    await history.write([talk("s2", "afterwards")])
    assert await ids(history) == {"s1", "s2"}


async def test_a_file_that_another_program_has_to_itself_is_told_when_it_is_opened(
    history: History, tmp_path: Path
) -> None:
    await history.write([talk("s1", "before")])
    await history.close()
    with closing(sqlite3.connect(file_of(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match=r"^The history is locked by another program\.$"):
            await History.open(URL, tmp_path, busy_ms=50)
        assert not list(file_of(tmp_path).parent.glob("*damaged*")), "a locked file is not a damaged one"
    again = await History.open(URL, tmp_path)
    assert await ids(again) == {"s1"}
    await again.close()


async def test_a_file_that_has_vanished_is_told_and_welcome_back(history: History, tmp_path: Path) -> None:
    await history.write([talk("s1", "before")])
    file, away = file_of(tmp_path), tmp_path / "away.db"
    file.rename(away)
    with pytest.raises(HistoryError, match=r"^The history's file has vanished\."):
        await history.write([talk("s2", "meanwhile")])
    away.rename(file)
    await history.write([talk("s3", "afterwards")])
    assert await ids(history) == {"s1", "s3"}


async def test_another_file_in_its_place_is_left_alone(history: History, tmp_path: Path) -> None:
    file = file_of(tmp_path)
    file.rename(tmp_path / "away.db")
    file.write_bytes(b"somebody else's")
    with pytest.raises(HistoryError, match=r"^The history's file is another one now\."):
        await history.write([talk("s2", "meanwhile")])
    assert file.read_bytes() == b"somebody else's"


async def test_damage_while_it_is_open_is_told_and_mended_at_the_next_opening(tmp_path: Path) -> None:
    history = await History.open(URL, tmp_path)
    await history.write([talk(f"s{number}", "tea " * 2000) for number in range(50)])
    await history.close()
    history = await History.open(URL, tmp_path)
    file = file_of(tmp_path)
    with file.open("r+b") as opened:
        for page in range(2, file.stat().st_size // 4096):
            opened.seek(page * 4096)
            opened.write(b"\xff" * 4096)
    with pytest.raises(HistoryError, match=r"^The history is damaged\."):
        await history.load(LOCAL, "s1")
    with pytest.raises(HistoryError, match=r"^The history is damaged\."):
        await history.write([talk("s1", "tea")])
    await history.close()
    again = await History.open(URL, tmp_path)
    assert len(again.notices) == 1
    await again.write([talk("s1", "tea")])
    await again.close()


async def test_a_message_of_a_kind_that_is_not_known_is_told(history: History) -> None:
    await history.write([talk("s1", "tea", "milk"), talk("s2", "tea")])
    async with history._database.writing() as connection:
        await connection.execute(text("UPDATE messages SET finish_reason = 'bored' WHERE session_id = 's1'"))
    with pytest.raises(HistoryError, match="cannot read"):
        await history.load(LOCAL, "s1")
    assert await history.load(LOCAL, "s2") is not None


async def scribble_in_the_index(history: History) -> None:
    async with history._database.writing() as connection:
        await connection.exec_driver_sql("UPDATE entries_index_data SET block = x'ffffffff' WHERE id > 10")


async def test_a_damaged_index_is_made_anew_by_whoever_searches(history: History, tmp_path: Path) -> None:
    await history.write([talk(f"s{number}", "tea") for number in range(50)])
    await scribble_in_the_index(history)
    assert len(await history.search(LOCAL, "tea")) == 50
    await history.close()
    check_file(tmp_path)


async def test_a_damaged_index_is_made_anew_by_whoever_writes(history: History, tmp_path: Path) -> None:
    await history.write([talk(f"s{number}", "tea") for number in range(50)])
    await scribble_in_the_index(history)
    for number in range(100):
        await history.write([talk(f"s{number}", "coffee")])
    assert len(await history.search(LOCAL, "coffee", limit=200)) == 100
    assert len(await history.search(LOCAL, "tea", limit=200)) == 100, "their titles say so still"
    await history.close()
    check_file(tmp_path)


async def test_a_conversation_that_cannot_be_written_does_not_keep_the_others_from_it(history: History) -> None:
    broken = replace(talk("bad", "tea"), about=about("bad", settings={"when": object()}))
    with pytest.raises(HistoryError, match="TypeError"):
        await history.write([talk("s1", "tea"), broken, talk("s2", "tea")])
    assert await ids(history) == {"s1", "s2"}


async def test_a_write_that_is_given_up_leaves_the_history_in_order(history: History, tmp_path: Path) -> None:
    """Whether it was written or not: all of it or nothing, and the next one works."""
    for moment in range(40):
        batch = [talk(f"{moment}-{number}", "tea", "milk") for number in range(20)]
        writing = asyncio.create_task(history.write(batch))
        for _ in range(moment):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        shown = {identity for identity in await ids(history) if identity.startswith(f"{moment}-")}
        assert len(shown) in (0, 20)
    await history.write([talk("after", "tea")])
    assert "after" in await ids(history)
    await history.close()
    check_file(tmp_path)


async def test_reading_goes_on_while_something_is_written(history: History) -> None:
    await history.write([talk("s1", "tea")])
    async with history._database.writing() as connection:
        await connection.execute(text("UPDATE sessions SET title = 'half done'"))
        shown = await asyncio.wait_for(history.about(LOCAL, "s1"), 5)
        assert shown is not None
        assert shown.title == "Tea"


async def test_a_loading_sees_one_moment(history: History) -> None:
    """Messages come and go in pairs; nobody ever reads half a pair."""
    pair = [user("a", "1"), user("b", "2", "a")]
    await history.write([change(about(), *pair)])

    async def read() -> None:
        for _ in range(100):
            stored = await history.load(LOCAL, "s1")
            assert stored is not None
            assert len(stored.messages) == stored.head

    async def write() -> None:
        for _ in range(50):
            await history.write([change(about(), removed=["a", "b"])])
            await history.write([change(about(), *pair)])

    await asyncio.gather(read(), write())


async def test_postgresql_may_go_away_and_come_back(postgresql: Cluster, tmp_path: Path) -> None:
    history = await History.open(postgresql.empty(), tmp_path)
    try:
        await history.write([talk("s1", "before")])
        postgresql.stop()
        try:
            for _ in range(2):
                with pytest.raises(HistoryError, match="PostgreSQL"):
                    await history.write([talk("s2", "meanwhile")])
                with pytest.raises(HistoryError, match="PostgreSQL"):
                    await history.load(LOCAL, "s1")
        finally:
            postgresql.start()
        await history.write([talk("s2", "afterwards")])
        assert await ids(history) == {"s1", "s2"}
    finally:
        await history.close()


async def test_a_server_that_took_over_meanwhile_keeps_the_first_one_from_writing(
    postgresql: Cluster, tmp_path: Path
) -> None:
    url = postgresql.empty()
    first = await History.open(url, tmp_path)
    postgresql.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'switchboard'")
    second = await History.open(url, tmp_path)
    with pytest.raises(HistoryError, match=r"^Another server uses this history\.$"):
        await first.write([talk("s1", "mine")])
    await second.write([talk("s2", "theirs")])
    await second.close()
    await first.write([talk("s1", "mine")])
    assert await ids(first) == {"s1", "s2"}
    await first.close()
