"""The protocol class that serves the chat, held to the WebSocket protocol's own conformance cases."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.server.serving import listening

ROOT = Path(__file__).resolve().parent.parent.parent
MESSAGE_BYTES = 16 * 1024 * 1024  # the largest that the cases send
KNOWN = {"7.1.5": "FAILED, WRONG CODE"}  # a close in the midst of fragments is answered by 1002, which is as good
PLAIN = [f"{group}.*" for group in range(1, 11) if group != 8]
PACKED = [f"12.{kind}.1" for kind in range(1, 6)] + [f"13.{kind}.1" for kind in range(1, 8)]
EVERYTHING = "SWITCHBOARD_DEEP" in os.environ  # the packed cases in all their sizes take minutes


async def echo(websocket: WebSocket) -> None:
    """Send everything back as it came."""
    await websocket.accept()
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            await websocket.send({**message, "type": "websocket.send"})
    except WebSocketDisconnect:
        pass


async def verdicts(address: str, cases: list[str]) -> dict[str, str]:
    """How each of the cases ended, tried by a program of its own."""
    program = [sys.executable, "-W", "ignore", "-m", "tests.faults.conformance", address, *cases]
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, str] = json.loads(printed)
    return found


@pytest.mark.parametrize(
    ("cases", "deflate", "count"),
    [(PLAIN, False, 301), (["12.*", "13.*"] if EVERYTHING else PACKED, True, 216 if EVERYTHING else 12)],
    ids=["plain", "packed"],
)
def test_32_the_conformance_cases_pass(
    cases: list[str], deflate: bool, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn.error")  # each text that is no UTF-8 would come with a traceback

    async def scenario() -> dict[str, str]:
        app = Starlette(routes=[WebSocketRoute("/", echo)])
        async with listening(app, ws_max_size=MESSAGE_BYTES, ws_per_message_deflate=deflate) as url:
            return await verdicts(url.removeprefix("http://"), cases)

    found = asyncio.run(scenario())
    assert len(found) == count
    assert {case: verdict for case, verdict in found.items() if verdict != "OK"} == (KNOWN if not deflate else {})
