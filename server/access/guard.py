"""The gate while the server runs: who is inside already leaves when their key or log-in is good no more.

Knows the keyring, the connections and what runs, and nothing of how any of them works.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager

from server.access.gate import Gate
from server.caller import Caller
from server.connections import ConnectionManager
from server.protocol import CloseCode
from server.running import RunningRequests

SWEEP_EVERY_S = 60.0


@asynccontextmanager
async def guarded(
    gate: Gate | None, connections: ConnectionManager, running: RunningRequests, sweep_every_s: float = SWEEP_EVERY_S
) -> AsyncGenerator[None]:
    """Within this context the file of keys is watched. Without a gate there is nothing to watch."""
    if gate is None:
        yield
        return

    def send_away(keys: Set[str]) -> None:
        def whom(caller: Caller) -> bool:
            return caller.key_id in keys

        connections.send_away(whom, CloseCode.UNAUTHORIZED)
        running.send_away(whom)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(sweep_every_s)  # a log-in runs out without a word
            connections.send_away(lambda caller: not gate.welcomes(caller), CloseCode.UNAUTHORIZED)

    connections.welcomes = gate.welcomes
    gate.keyring.revoked = send_away
    gate.keyring.start()
    sweeping = asyncio.create_task(sweep(), name="send away whose log-in has run out")
    try:
        yield
    finally:
        sweeping.cancel()
        await asyncio.wait({sweeping})
        await gate.keyring.close()
