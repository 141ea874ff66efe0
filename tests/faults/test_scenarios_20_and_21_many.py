"""Thousands of visits and of idle connections, at a twentieth of their size: nothing stays, and none is heavy."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
import tracemalloc
from contextlib import ExitStack

import psutil

from tests.faults.whole_server import Whole, play, say, whole
from tests.server.doubles import eventually
from tests.server.raw_client import slow_socket
from tests.server.serving import joined

SCALE = 1 if "SWITCHBOARD_DEEP" in os.environ else 20
CYCLES = 20 if SCALE == 1 else 10
VISITS = 1_000 // SCALE
IDLE = 5_000 // SCALE
CONNECTION_BYTES = 40 * 1024
NOW = struct.pack("ii", 1, 0)
PING = b"\x89\x84\0\0\0\0ping"
PONG = b"\x8a\x04ping"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


async def visit(server: Whole, politely: bool) -> None:
    """Connect, and leave by a close frame or by a reset."""
    raw = await slow_socket(server.ws)
    with raw:
        received = await asyncio.get_running_loop().sock_recv(raw, 4096)
        assert received.startswith(b"HTTP/1.1 101")
        if politely:
            await asyncio.get_running_loop().sock_sendall(raw, CLOSE)
            while await asyncio.get_running_loop().sock_recv(raw, 4096):
                pass
        else:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)


def test_20_visits_that_end_well_or_badly_leave_nothing_behind() -> None:
    async def scenario() -> None:
        async with whole(max_connections_per_client=4096) as server:
            hub, process = server.hub, psutil.Process()

            async def cycle() -> int:
                """Memory in use after so many visits, once everybody is gone."""
                for politely in (True, False):
                    await asyncio.gather(*(visit(server, politely) for _ in range(VISITS)))
                await eventually(lambda: not hub.connections.active_connections)
                await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
                return process.memory_info().rss

            async with joined(server.ws) as client:
                await client.send(say("Go"))
                await client.until("ai")
            await eventually(lambda: not hub.connections.active_connections)
            tasks, files = len(asyncio.all_tasks()), process.num_fds()
            memory = [await cycle() for _ in range(CYCLES)]
            assert memory[-1] < memory[1] * 1.05
            assert len(asyncio.all_tasks()) <= tasks
            assert process.num_fds() <= files
            assert hub.active == 0
            assert len(hub.sessions) <= 101, "of conversations in which nothing was said, few are kept"

    play(scenario)


def test_21_idle_connections_answer_and_are_light() -> None:
    async def scenario() -> None:
        async with whole(max_connections_per_client=8192, max_connections=8192) as server, joined(server.ws):
            loop = asyncio.get_running_loop()
            tracemalloc.start()
            with ExitStack() as stack:
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
                idle = [stack.enter_context(await slow_socket(server.ws)) for _ in range(IDLE)]
                await eventually(lambda: len(server.hub.connections.active_connections) == IDLE + 1)
                gc.collect()
                each = (tracemalloc.get_traced_memory()[0] - before) / IDLE
                tracemalloc.stop()
                assert each < CONNECTION_BYTES

                async def ponged(raw: socket.socket) -> None:
                    received = b""
                    await loop.sock_sendall(raw, PING)
                    while not received.endswith(PONG):
                        received += await loop.sock_recv(raw, 65_536)

                async with asyncio.timeout(20):  # twenty times what it may take
                    await asyncio.gather(*(ponged(raw) for raw in idle))
            await eventually(lambda: len(server.hub.connections.active_connections) == 1)

    play(scenario)
