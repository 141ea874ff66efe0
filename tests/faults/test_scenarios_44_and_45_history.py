"""The history's disk is full, its file is damaged, or another has it: the chat goes on, and people are told."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from server.history.store import History
from tests.faults.whole_server import history_in, play, say, stored_answers, whole
from tests.server.doubles import eventually
from tests.server.history.disks import small_disk
from tests.server.serving import SocketClient, joined


async def until_state(client: SocketClient, state: str) -> str:
    """The notice that the history is in that state, which may have been read already."""
    while True:
        for frame in client.frames:
            if frame.get("state") == state:
                return str(frame["message"])
        await client.until("system")


async def answer(client: SocketClient, message: str) -> str:
    await client.send(say(message))
    return str((await client.until("ai"))["message"])


def fill_up(folder: Path) -> Path:
    """Write until there is no more room. Gives the file that takes it."""
    ballast = folder / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def check_file(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "history.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_44_with_a_full_disk_the_chat_goes_on_and_what_was_said_is_stored_when_there_is_room(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with whole(database_url=history_in(tmp_path / "disk")) as server, joined(server.ws) as client:
            said = [await answer(client, "Go")]
            assert await server.hub.saved(server.session(client))
            ballast = fill_up(tmp_path / "disk")
            while server.hub.recorder.problem is None:
                said.append(await answer(client, f"Go on {len(said)} " + "x" * 5_000))
            assert "full" in await until_state(client, "history_off")
            said.append(await answer(client, "Still there?"))
            async with joined(server.ws, client) as late, server.http() as http:
                assert (await http.get("/health/live")).is_success
                assert late.frames[0]["type"] == "system"
            ballast.unlink()
            await until_state(client, "history_on")
            await eventually(lambda: server.hub.recorder.has_all(server.session(client)))
            assert await stored_answers(server, client) == said == client.answers()
        check_file(tmp_path / "disk")

    with small_disk(tmp_path / "disk"):
        play(scenario)


def test_45_a_damaged_history_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    damaged = b"SQLite format 3\0" + b"no database at all " * 1_000
    (tmp_path / "history.db").write_bytes(damaged)

    async def scenario() -> None:
        async with whole(database_url=history_in(tmp_path)) as server, joined(server.ws) as client:
            said = await answer(client, "Go")
            assert await server.hub.saved(server.session(client))
            assert await stored_answers(server, client) == [said]
            async with server.http() as http:
                assert (await http.get("/health/ready")).is_success

    play(scenario)
    aside = list(tmp_path.glob("history.damaged-*.db"))
    assert [path.read_bytes() for path in aside] == [damaged], "whoever wants to mend it finds it as it was"
    check_file(tmp_path)


@pytest.mark.parametrize("by", ["another server", "another program"])
def test_45_with_a_history_that_another_has_the_server_starts_and_takes_it_when_it_is_free(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("server.archive", "server.keeper"):
        monkeypatch.setattr(f"{module}.REOPEN_S", 0.1)
    impatient = partial(History.open, history_in(tmp_path), tmp_path, busy_ms=50)
    monkeypatch.setattr("app.history_opener", lambda settings: impatient)

    async def scenario() -> None:
        url = history_in(tmp_path)
        await (other := await History.open(url, tmp_path)).close()
        if by == "another server":
            other = await History.open(url, tmp_path)
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as program:
            if by == "another program":
                program.execute("PRAGMA locking_mode = EXCLUSIVE")
                program.execute("BEGIN EXCLUSIVE")
            async with asyncio.timeout(10), whole(database_url=url) as server, joined(server.ws) as client:
                said = await answer(client, "Go")
                assert server.hub.recorder.problem
                assert not await server.hub.saved(server.session(client))
                async with server.http() as http:
                    refused = await http.get("/api/sessions")
                    assert refused.status_code == 503
                    assert "Traceback" not in refused.text
                program.close()
                if by == "another server":
                    await other.close()
                await until_state(client, "history_on")
                await eventually(lambda: server.hub.recorder.has_all(server.session(client)))
                assert await stored_answers(server, client) == [said]
        check_file(tmp_path)

    play(scenario)
