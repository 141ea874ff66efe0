"""The clock on the wall is set back by an hour, or forward, while the server runs."""

from __future__ import annotations

import ast
import asyncio
import time
from pathlib import Path

import pytest

from server.clock import Clock
from tests.faults.backends import recital, text_of
from tests.faults.whole_server import say, whole
from tests.server.serving import joined

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = text_of(recital("user: Go"))
WALL = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"}
LABELS = {  # where the time of day is asked for, to be shown to people or to programs and never to decide anything
    "server/clock.py": "time.time",
    "server/routes/openai_models.py": "time.time",
    "server/openai/answering.py": "time.time",
    "server/ollama/lines.py": "time.time_ns",
    "server/access/keys.py": "time.time",
}
UNTIL_A_DAY = {  # what is good until a day that people chose, and outlives the process: only the day can end it
    "server/access/keys.py",
    "server/access/logins.py",
}


def calls(path: Path) -> list[tuple[ast.Call, list[ast.AST]]]:
    """Every call in a file, with what stands around it, the nearest last."""
    found: list[tuple[ast.Call, list[ast.AST]]] = []

    def visit(node: ast.AST, around: list[ast.AST]) -> None:
        if isinstance(node, ast.Call):
            found.append((node, around))
        for child in ast.iter_child_nodes(node):
            visit(child, [*around, node])

    visit(ast.parse(path.read_text()), [])
    return found


SOURCES = sorted((ROOT / "server").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_46_nothing_is_decided_by_the_clock_on_the_wall(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for call, around in calls(path):
        asked = ast.unparse(call.func)
        if asked in WALL:
            assert LABELS.get(name) == asked, f"{name}:{call.lineno} asks for {asked}, not a Clock."
        if asked in WALL or asked.endswith(".today"):
            decides = [node for node in around if isinstance(node, ast.Compare | ast.If | ast.While)]
            decides = [node for node in decides if call in ast.walk(getattr(node, "test", node))]
            assert name in UNTIL_A_DAY or not decides, f"{name}:{call.lineno} decides something by the time of day."


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -1e9], ids=["an hour back", "an hour ahead", "thirty years back"])
def test_46_a_clock_that_jumps_in_mid_answer_changes_nothing_but_the_times_that_are_shown(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = time.time

    async def scenario() -> None:
        async with whole(system_prompt="", detach_timeout_s=60, window_s=60) as server:
            server.recital.pace.hold()
            server.recital.pace.allow(50)
            async with joined(server.ws) as client:
                await client.send(say("Go", "once"))
                await client.until("delta")
            monkeypatch.setattr(time, "time", lambda: wall() + jump)
            async with joined(server.ws, client) as back:  # the session is still there, with its window
                server.recital.pace.free()
                end = await back.until("ai")
                assert (end["message"], end["finish_reason"]) == (TEXT, "stop")
                assert "snapshot" not in back.types()
                await back.send(say("Go", "once"))  # what was done is still known to be done
                assert (await back.until("ack"))["duplicate"] is True
                timings = end["timings"]
                assert isinstance(timings, dict)
                assert all(0 <= value < 60_000 for name, value in timings.items() if value is not None)

    asyncio.run(scenario())


def test_46_a_clock_that_jumps_moves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        clock, rang = Clock(), asyncio.Event()
        before = clock.now()
        clock.call_later(0.02, rang.set)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        async with asyncio.timeout(5):
            await rang.wait()
        assert 0.02 <= clock.now() - before < 5
        assert clock.today() == 0.0

    asyncio.run(scenario())
