"""The server's process: the socket it listens on, uvicorn around the application, and the signals that end it.

The first SIGTERM or SIGINT drains: the application brings what it does to an end while it still answers, and only then
is uvicorn told to stop, which would cut every WebSocket at once. A second signal leaves now.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from server.admission import Admission
from server.http_protocol import ChatHttpProtocol
from server.last_resort import watch_loop
from server.websocket_protocol import ChatSocketProtocol

log = structlog.get_logger()

PING_INTERVAL_S = 20.0
SHUTDOWN_TIMEOUT_S = 3  # for requests that are still open after the drain
LEAVING_TIMEOUT_S = 2.0  # for everything, after a second signal
BACKLOG = 2048
BACKLOG_OF_ASYNCIO = 128  # its own loop tries as often to accept when no descriptor is left, at every try
COLLECT_AFTER = (10_000, 10, 10)  # objects, collections of the youngest, collections of the middle ones
RESERVED_FILES = 256  # descriptors for what is no connection: models, the database, backends

Drain = Callable[[], Awaitable[None]]


class Server(uvicorn.Server):
    """uvicorn, but a signal drains first, and an end by signals is status 0, or 128 + signal if it was hurried."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self.hurried = 0  # the signal that was one too many
        self._drain = drain
        self._signals = 0
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        watch_loop(self._loop)
        await super().serve(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.hurried and self._draining is not None:
            self._draining.cancel()
        await super().shutdown(sockets)
        if self.hurried:
            await self.lifespan.shutdown()  # uvicorn leaves it out: what runs would be cut off, and not put down

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs between any two lines of the main thread, so it leaves to the loop what it can."""
        del frame
        self._signals += 1
        if self._signals == 1 and self._loop is None:
            self.should_exit = True  # nothing has begun that could be brought to an end
        elif self._signals == 1:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._begin_to_end, sig)
        elif self._signals == 2:
            self.hurried = sig
            self.force_exit = self.should_exit = True
            leave_within(LEAVING_TIMEOUT_S, sig)  # the loop may be what is stuck

    def _begin_to_end(self, sig: int) -> None:
        log.info(f"{signal.Signals(sig).name}: finishing what is under way. A second signal ends it at once.")
        self._draining = asyncio.get_running_loop().create_task(self._finish(), name="drain")

    async def _finish(self) -> None:
        try:
            await self._drain()
        except Exception:
            log.exception("not everything could be brought to an end")
        finally:
            self.should_exit = True


async def nothing_to_finish() -> None:
    """The drain of an application in which nothing outlives a request."""


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    max_frame_bytes: int,
    admission: Admission | None = None,
    drain: Drain = nothing_to_finish,
) -> int:
    """Serve `app` until SIGINT or SIGTERM, and return the exit status. Port 0 takes a free one.

    `drain` brings to an end what runs; the application still answers meanwhile. `admission` bounds the connections.
    """
    try:
        listener = bind(host, port)
    except OSError as error:
        log.error(f"Cannot listen on {host} port {port}: {error.strerror}. Is it in use? Choose another PORT.")
        return 1
    address, bound_port = listener.getsockname()[:2]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # it would believe whatever this machine forwards
        server_header=False,
        http=ChatHttpProtocol.limited(admission or Admission()),
        ws=ChatSocketProtocol,
        ws_max_size=max_frame_bytes,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        backlog=_backlog(),
        lifespan="on",
    )
    server = Server(config, drain)
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, server.handle_exit)  # from before anybody is told that we are here
    shown = f"[{address}]" if ":" in address else address
    log.info(f"🌐 Server listening on http://{shown}:{bound_port} (Ctrl-C ends it)")
    collect_less()
    server.run(sockets=[listener])
    log.info("Switchboard has stopped.")
    if server.hurried:
        return 128 + server.hurried
    return 0 if server.started else 1


def _backlog() -> int:
    """How many connections may wait to be accepted, by the loop that uvicorn is going to take."""
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return BACKLOG_OF_ASYNCIO
    return BACKLOG


def collect_less() -> None:
    """Let the garbage collector pass over all that was imported, and look at the rest less often.

    Every new connection makes it look through all the others again: while thousands came that took a third of the
    processor, and held up everybody for some tenths of a second at a time. Rarer still, and what the connections leave
    behind piles up to many megabytes before it is found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def leave_within(seconds: float, sig: int) -> None:
    """End this process in that time, whatever still holds it up."""
    timer = threading.Timer(seconds, os._exit, (128 + sig,))
    timer.daemon = True
    timer.start()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Connections made before the application is up wait in its backlog. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def connections_within(wanted: int) -> int:
    """How many connections this process may hold, `wanted` at the most. Asks the system for more files if need be."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED_FILES:
        most = wanted + RESERVED_FILES if hard == resource.RLIM_INFINITY else min(hard, wanted + RESERVED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    allowed = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - min(RESERVED_FILES, soft // 2))
    if allowed < wanted:
        log.warning(f"The system allows {soft} open files (ulimit -n), so {allowed} connections instead of {wanted}.")
    return allowed
