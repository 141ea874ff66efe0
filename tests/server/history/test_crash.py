"""`kill -9` in the middle of writing: each conversation is as it was before its change, or as it is after it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from server.history.records import LOCAL
from server.history.store import History
from tests.postgresql import Cluster

ROOT = Path(__file__).resolve().parents[3]
URL = "sqlite:///data/switchboard.db"
CONVERSATIONS = 10

WRITER = """
import asyncio, sys
from pathlib import Path
from server.history.records import Piece, RunRecord
from server.history.store import History
from tests.server.history.conversations import about, change, user

async def main(url: str, folder: Path) -> None:
    history = await History.open(url, folder)
    for state in range(1, 100_000):
        await history.write([
            change(
                about(f"s{number}", title=f"State {state}"),
                *(user(f"m{number}", f"state {state} " * 50) for number in range(5)),
                head=state,
                queue=[{"id": "q", "message": f"state {state}"}],
                run=RunRecord("run", {"state": state}),
                pieces=[Piece("content", f"state {state}", (state,))],
            )
            for number in range(10)
        ])
        print(state, flush=True)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


def write_until_killed(url: str, folder: Path, states: int, wait_ms: float) -> int:
    """Let a process write, and kill it. Gives the last state that it knows to be stored."""
    command = [sys.executable, "-c", WRITER, url, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(states):
            writer.stdout.readline()
        try:
            writer.wait(wait_ms / 1000)
        except subprocess.TimeoutExpired:
            os.kill(writer.pid, signal.SIGKILL)
        told = [int(line) for line in writer.stdout]
    return told[-1] if told else states


async def check(url: str, folder: Path, least: int) -> None:
    """Every conversation is whole, and none is older than what was known to be stored."""
    history = await History.open(url, folder)
    try:
        assert history.notices == [], "a killed server damages nothing"
        assert len(await history.ids(LOCAL)) == CONVERSATIONS
        seen = set()
        for number in range(CONVERSATIONS):
            stored = await history.load(LOCAL, f"s{number}")
            assert stored is not None
            assert stored.run is not None
            state = stored.head
            seen.add(state)
            assert stored.about.title == f"State {state}"
            assert {record.message.message for record in stored.messages} == {f"state {state} " * 50}
            assert stored.queue == [{"id": "q", "message": f"state {state}"}]
            assert stored.run.request == {"state": state}
            assert [piece.text for piece in stored.pieces] == [f"state {state}"]
            assert len(await history.search(LOCAL, f"State {state}")) == CONVERSATIONS
        assert seen <= {least, least + 1}, f"{least} was told to be stored, and {seen} are."
        assert len(seen) == 1, "a batch is one transaction"
    finally:
        await history.close()


@pytest.mark.parametrize("attempt", range(3))
def test_a_killed_server_leaves_every_conversation_whole(tmp_path: Path, attempt: int) -> None:
    moment = random.Random(attempt)
    least = write_until_killed(URL, tmp_path, moment.randint(1, 20), moment.uniform(0, 20))
    asyncio.run(check(URL, tmp_path, least))
    with closing(sqlite3.connect(tmp_path / "data" / "switchboard.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.execute("INSERT INTO entries_index(entries_index, rank) VALUES ('integrity-check', 1)")


def test_a_killed_server_leaves_postgresql_whole_and_free(tmp_path: Path, postgresql: Cluster) -> None:
    url = postgresql.empty()
    least = write_until_killed(url, tmp_path, 5, 3)
    asyncio.run(check(url, tmp_path, least))
