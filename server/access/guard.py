"""The gate while the server runs: who is inside already leaves when their key or log-in is good no more.

Knows the keyring, the connections and what runs, and nothing of how any of them works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager

from server.access.gate import Gate
from server.caller import Caller
from server.connections import ConnectionManager
from server.protocol import CloseCode
from server.running import RunningRequests


@asynccontextmanager
async def guarded(gate: Gate | None, connections: ConnectionManager, running: RunningRequests) -> AsyncGenerator[None]:
    """Within this context the file of keys is watched. Without a gate there is nothing to watch."""
    if gate is None:
        yield
        return

    def send_away(keys: Set[str]) -> None:
        def whom(caller: Caller) -> bool:
            return caller.key_id in keys

        connections.send_away(whom, CloseCode.UNAUTHORIZED)
        running.send_away(whom)

    connections.welcomes = gate.welcomes
    gate.keyring.revoked = send_away
    gate.keyring.start()
    try:
        yield
    finally:
        await gate.keyring.close()
