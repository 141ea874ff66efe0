"""The real server in a process of its own, with a watch on its event loop: how late it was, and what it computed.

    with watched_server({"MAX_BATCH_SIZE": "16"}) as server:
        server.reading()     # starts anew
        ...
        reading = server.reading()

The watch is a task that wants to run every few milliseconds and notes how much later it did. Whatever keeps the loop
from its work shows there: our own code, the garbage collector, the interpreter's lock held by the engine's thread, and
a processor that others use.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from fastapi import FastAPI

BEAT_S = 0.005
START_TIMEOUT_S = 120.0
COMPILE_TIMEOUT_S = 90.0


@dataclass(slots=True, frozen=True)
class Reading:
    """What the watch saw since the reading before. Milliseconds.

    `late` are the delays of the beats, `own` the processor time that the loop's thread took between two beats: where a
    beat is late and `own` is small, the loop was held up by something else.
    """

    wall_s: float
    loop_cpu_s: float
    process_cpu_s: float
    longest_late_ms: float
    longest_own_ms: float
    longest_gc_ms: float
    late_p99_ms: float
    late_over_50_ms: int


class LoopWatch:
    """The watch inside the server."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._own: list[float] = []
        self._collected: list[float] = [0.0]
        self._collecting_since = 0.0
        self._began = time.perf_counter(), time.thread_time(), time.process_time()
        gc.callbacks.append(self._watch_collector)

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            due, cpu = time.perf_counter() + BEAT_S, time.thread_time()
            await asyncio.sleep(BEAT_S)
            self._late.append(max(0.0, time.perf_counter() - due))
            self._own.append(time.thread_time() - cpu)

    def read(self) -> Reading:
        """What was seen; the watch starts anew."""
        began, now = self._began, (time.perf_counter(), time.thread_time(), time.process_time())
        late, own, collected = sorted(self._late) or [0.0], self._own or [0.0], self._collected
        self._late, self._own, self._collected, self._began = [], [], [0.0], now
        return Reading(
            wall_s=now[0] - began[0],
            loop_cpu_s=now[1] - began[1],
            process_cpu_s=now[2] - began[2],
            longest_late_ms=late[-1] * 1000,
            longest_own_ms=max(own) * 1000,
            longest_gc_ms=max(collected) * 1000,
            late_p99_ms=late[int(0.99 * (len(late) - 1))] * 1000,
            late_over_50_ms=sum(delay > 0.05 for delay in late),
        )

    def _watch_collector(self, phase: str, info: Mapping[str, int]) -> None:
        del info
        if phase == "start":
            self._collecting_since = time.perf_counter()
        else:
            self._collected.append(time.perf_counter() - self._collecting_since)


def serve_watched(environment: Mapping[str, str], reports: Connection) -> None:
    """Serve as `app.py` does, under `environment`, and answer every request for a reading."""
    os.environ.update(environment)
    from app import create_app
    from config import load_settings
    from server.logs import configure_logs
    from server.process import serve

    settings = load_settings()
    configure_logs(settings.log_level)
    app = create_app(settings)
    _watch(app, reports)
    sys.exit(serve(app, settings.host, settings.port, settings.max_frame_bytes))


def _watch(app: FastAPI, reports: Connection) -> None:
    """Let the watch live as long as the application does."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def watched(served: FastAPI) -> AsyncGenerator[Any]:
        async with lifespan(served) as state:
            watch, loop = LoopWatch(), asyncio.get_running_loop()

            def answer() -> None:
                reports.recv()
                reports.send(watch.read())

            loop.add_reader(reports.fileno(), answer)
            beating = loop.create_task(watch.beat())
            yield state
            beating.cancel()
            loop.remove_reader(reports.fileno())

    app.router.lifespan_context = watched


class WatchedServer:
    """The server's process, seen from outside."""

    def __init__(self, port: int, reports: Connection) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.socket = f"ws://127.0.0.1:{port}/ws"
        self._reports = reports

    def reading(self) -> Reading:
        """What the watch saw since it was asked last."""
        self._reports.send(None)
        reading: Reading = self._reports.recv()
        return reading

    def get(self, path: str) -> Any:
        """The JSON that the server gives for `path`."""
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.load(answer)

    def wait_ready(self) -> str:
        """Wait until the model can answer. Gives its name. Raises TimeoutError, and RuntimeError when it cannot."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with suppress(OSError):
                for model in self.get("/api/models")["models"]:
                    if model["state"] == "ready":
                        return str(model["name"])
                    if model["state"] == "failed":
                        raise RuntimeError(model["reason"])
            time.sleep(0.05)
        raise TimeoutError("The model was not ready in time.")

    def wait_compiled(self) -> str:
        """Wait until the model computes with compiled kernels, for as long as they may take. Gives how it computes."""
        deadline = time.monotonic() + (0 if os.environ.get("KERNELS") == "off" else COMPILE_TIMEOUT_S)
        while "native" not in (form := str(self.get("/api/engine")["engines"][0]["computing"])):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        return form


@contextmanager
def watched_server(environment: Mapping[str, str]) -> Generator[WatchedServer]:
    """Start a server on a free port with the in-process engine alone, and end it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = {"HOST": "127.0.0.1", "PORT": str(port), "BACKENDS": "pytorch", "LOG_LEVEL": "warning", **environment}
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve_watched, args=(settings, theirs), daemon=True)
    process.start()
    try:
        server = WatchedServer(port, ours)
        server.wait_ready()
        yield server
    finally:
        process.terminate()
        process.join()
