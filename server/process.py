"""The server's process: the socket it listens on, uvicorn around the application, and the signals that end it."""

from __future__ import annotations

import socket
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from server.websocket_protocol import ChatSocketProtocol

log = structlog.get_logger()

PING_INTERVAL_S = 20.0
SHUTDOWN_TIMEOUT_S = 5
BACKLOG = 2048


class Server(uvicorn.Server):
    """uvicorn, but ended by a signal it exits with status 0; a second signal does not wait for open requests."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(app: ASGIApp, host: str, port: int, max_frame_bytes: int) -> int:
    """Serve `app` until SIGINT or SIGTERM, and return the exit status. Port 0 takes a free one."""
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
        server_header=False,
        ws=ChatSocketProtocol,
        ws_max_size=max_frame_bytes,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_INTERVAL_S,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        lifespan="on",
    )
    shown = f"[{address}]" if ":" in address else address
    log.info(f"🌐 Server listening on http://{shown}:{bound_port} (Ctrl-C ends it)")
    server = Server(config)
    server.run(sockets=[listener])
    log.info("Switchboard has stopped.")
    return 0 if server.started else 1


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Connections made before the application is up wait in its backlog."""
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
