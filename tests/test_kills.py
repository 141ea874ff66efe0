"""What was said and answered outlives the server's process: killed again and again, it leaves no trace in any text."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.kill_tally import questions
from bench.kills import Killing
from bench.mortal import MortalServer
from tests.tiny_model import write_tiny_model

KILLS = 5


def test_answers_go_on_after_the_server_was_killed(tmp_path: Path) -> None:
    """Two clients attend; some answers are the likeliest, some are drawn; most kills come in mid-answer."""
    settings = {"TORCH_THREADS": "1", "FLUSH_INTERVAL_MS": "20"}
    server = MortalServer(write_tiny_model(tmp_path / "Tiny.Q4_1.gguf"), tmp_path, settings)
    try:
        tally = asyncio.run(Killing(server, questions(400)[:2], seed=4).run(KILLS))
    except BaseException:
        print(server.log[-4000:])  # noqa: T201  # shown when the test fails
        raise
    finally:
        server.kill()
    assert tally.differences == []
    assert tally.clean
    assert tally.continued == tally.kills.total() == KILLS
    assert "Traceback" not in server.log
