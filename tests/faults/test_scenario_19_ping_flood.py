"""A client that pings as fast as it can and never reads a pong."""

from __future__ import annotations

import asyncio
import socket
import time

from tests.server.program import running
from tests.server.raw_client import slow_socket
from tests.server.serving import SocketClient, joined

FLOOD_S = 2.0
PING = b"\x89\xfd\0\0\0\0" + b"x" * 125
GROWTH = 8 * 1024 * 1024
SLOWEST_S = 0.5  # of a round trip, which takes a fraction of a millisecond


async def round_trip(client: SocketClient) -> float:
    began = time.perf_counter()
    await (await client.socket.ping())
    return time.perf_counter() - began


def test_19_a_flood_of_pings_costs_no_memory_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        with running() as server:
            async with joined(server.ws) as other:
                await round_trip(other)
                before = server.memory()
                with await slow_socket(server.ws) as raw:
                    flooding = asyncio.create_task(flood(raw))
                    times = [await round_trip(other) for _ in range(20)]
                    while not flooding.done():
                        times.append(await round_trip(other))
                    assert server.memory() - before < GROWTH
                    times.sort()
                    assert times[int(0.99 * (len(times) - 1))] < SLOWEST_S

    async def flood(raw: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FLOOD_S):
                while True:
                    await loop.sock_sendall(raw, PING * 500)
        except TimeoutError:
            pass

    asyncio.run(scenario())
