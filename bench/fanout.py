"""What a socket costs: server CPU a frame when one answer streams to many, and memory an idle connection.

    python -m bench.fanout [--sockets 100] [--frames 2000] [--idle 1000]

The server runs in a process of its own, and only its CPU time and its resident memory are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import multiprocessing
import resource
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect

from backends.base import Backend, Done, Event, GenerationRequest, ModelInfo, Text
from server.hub import Hub
from server.origins import OriginPolicy
from server.routes.websocket import chat_socket
from server.websocket_protocol import ChatSocketProtocol

PACE_S = 0.002


class Reciter(Backend):
    """Says as many pieces as the message asks for, each of them a frame."""

    name = "reciter"

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("reciter")]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        assert request.messages is not None
        for _ in range(int(request.messages[-1].content)):
            yield Text("a few words\n", token_ids=(1,))
            await asyncio.sleep(PACE_S)
        yield Done("stop")


def serve(listener: socket.socket, reports: Connection) -> None:
    """Serve, and report CPU seconds and resident bytes whenever asked."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    hub = Hub([Reciter()])
    app = Starlette(routes=[chat_socket(hub, OriginPolicy("127.0.0.1", 0))])
    config = uvicorn.Config(app, ws=ChatSocketProtocol, ws_per_message_deflate=False, lifespan="off", log_config=None)

    def report() -> None:
        reports.recv()
        gc.collect()
        reports.send((time.process_time(), resident_bytes()))

    async def run() -> None:
        asyncio.get_running_loop().add_reader(reports.fileno(), report)
        await hub.start()
        await uvicorn.Server(config).serve([listener])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())


def resident_bytes() -> int:
    """Memory that this process has in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Meter:
    """The server's process, seen from outside."""

    def __init__(self, reports: Connection) -> None:
        self._reports = reports

    def read(self) -> tuple[float, int]:
        """CPU seconds used so far, and resident bytes now."""
        self._reports.send(None)
        cpu, memory = self._reports.recv()
        return cpu, memory


async def fanout(url: str, meter: Meter, sockets: int, frames: int) -> float:
    """Server CPU in microseconds for each frame that reaches a socket."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(connect(url, compression=None, max_queue=None))
        hello = json.loads(await first.recv())
        query = f"?session={hello['session']}"
        rest = [
            stack.enter_async_context(connect(url + query, compression=None, max_queue=None))
            for _ in range(sockets - 1)
        ]
        clients = [first, *await asyncio.gather(*rest)]
        before, _ = meter.read()
        await first.send(json.dumps({"message": str(frames)}))
        received = sum(await asyncio.gather(*(read_to_the_end(client) for client in clients)))
        after, _ = meter.read()
        return (after - before) / received * 1e6


async def read_to_the_end(client: ClientConnection) -> int:
    """Count the frames up to the answer's end."""
    frames = 0
    async for frame in client:
        frames += 1
        if '"type":"ai"' in frame[:200]:
            break
    return frames


async def idle(url: str, meter: Meter, connections: int) -> float:
    """KiB of server memory for each connection that only stands there."""
    async with AsyncExitStack() as stack:
        for _ in range(20):  # what the first ones cost is not theirs
            await stack.enter_async_context(connect(url, compression=None))
        _, before = meter.read()
        for _ in range(connections):
            client = await stack.enter_async_context(connect(url, compression=None))
            await client.recv()
        _, after = meter.read()
        return (after - before) / connections / 1024


def main() -> None:
    """Measure, and print the two figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=1000)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(listener, theirs), daemon=True)
        process.start()
        url, meter = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws", Meter(ours)
        try:
            memory = asyncio.run(idle(url, meter, options.idle))
            cost = asyncio.run(fanout(url, meter, options.sockets, options.frames))
        finally:
            process.terminate()
            process.join()
    print(f"{cost:.1f} µs of server CPU a frame, one answer to {options.sockets} sockets")
    print(f"{memory:.1f} KiB of server memory an idle connection, {options.idle} of them")


if __name__ == "__main__":
    main()
