from __future__ import annotations

import asyncio
from pathlib import Path

from backends.echo import EchoBackend
from server.access.gate import Gate
from server.access.guard import guarded
from server.origins import OriginPolicy
from tests.server.serving import joined, serving


def test_who_is_inside_leaves_when_what_let_them_in_is_good_no_more(tmp_path: Path):
    async def scenario() -> None:
        gate = Gate(tmp_path / "keys.json", OriginPolicy("127.0.0.1", 8000))
        async with (
            serving([EchoBackend()]) as (hub, url),
            joined(url) as client,
            guarded(gate, hub.connections, hub.running, sweep_every_s=0.001),
        ):
            assert await client.until_closed() == 4401

    asyncio.run(scenario())


def test_without_a_gate_everybody_stays(tmp_path: Path):
    async def scenario() -> None:
        async with (
            serving([EchoBackend()]) as (hub, url),
            joined(url) as client,
            guarded(None, hub.connections, hub.running, sweep_every_s=0.001),
        ):
            await client.send('{"type":"ping"}')
            await client.until("pong")

    asyncio.run(scenario())
