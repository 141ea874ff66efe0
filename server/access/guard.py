"""The gate while the server runs: who is inside already leaves when their key or log-in is good no more.

Knows the keyring and the connections, and nothing of how either works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager

from server.access.gate import Gate
from server.connections import ConnectionManager
from server.protocol import CloseCode


@asynccontextmanager
async def guarded(gate: Gate | None, connections: ConnectionManager) -> AsyncGenerator[None]:
    """Within this context the file of keys is watched. Without a gate there is nothing to watch."""
    if gate is None:
        yield
        return

    def send_away(keys: Set[str]) -> None:
        connections.send_away(lambda caller: caller.key_id in keys, CloseCode.UNAUTHORIZED)

    connections.welcomes = gate.welcomes
    gate.keyring.revoked = send_away
    gate.keyring.start()
    try:
        yield
    finally:
        await gate.keyring.close()
