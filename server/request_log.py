"""Who asked for what, and how it went: an id for every request, and one line in the log when it is done.

Whatever is logged meanwhile carries the id, also by tasks that the request starts. A line holds no query and no body,
since those hold what people say.
"""

from __future__ import annotations

import re
import time
from collections import Counter

import structlog
import uuid_utils
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.caller import client_in

HEADER = "x-request-id"
SANE = re.compile(r"[!-~]{1,128}", re.ASCII)
PROBES = {"/health/live", "/health/ready", "/metrics"}  # asked every few seconds, for ever
MAX_PATH = 200
NO_CODE = 1006  # of a WebSocket: it ended without a close frame

log = structlog.get_logger()


class RequestLog:
    """Gives every request and every WebSocket its id: the client's own, if it is a sane one, or a UUID v7."""

    def __init__(self, app: ASGIApp, statuses: Counter[int] | None = None) -> None:
        """`statuses` counts the requests by the status that they were answered with."""
        self.app = app
        self._statuses = Counter() if statuses is None else statuses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = {"http": self._request, "websocket": self._socket}.get(scope["type"], self.app)
        await handler(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.setdefault("state", {})["request_id"] = identify(scope)
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        began = time.monotonic()
        structlog.contextvars.bind_contextvars(request_id=identity)
        try:
            await self.app(scope, receive, named)
        finally:
            self._statuses[status] += 1
            say = log.debug if scope["path"] in PROBES else log.info
            ms = round((time.monotonic() - began) * 1000, 1)
            path = scope["path"][:MAX_PATH]
            say("request", method=scope["method"], path=path, status=status, ms=ms, client=client_in(scope))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.setdefault("state", {})["request_id"] = identify(scope)
        outcome: dict[str, int] = {}

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                outcome.setdefault("code", message.get("code", NO_CODE))
            return message

        async def said(message: Message) -> None:
            match message["type"]:
                case "websocket.accept":
                    message = {
                        **message,
                        "headers": [*message.get("headers", ()), (HEADER.encode(), identity.encode())],
                    }
                    log.info("socket opened", path=scope["path"][:MAX_PATH], client=client_in(scope))
                case "websocket.close":
                    outcome.setdefault("code", message.get("code", 1000))
                case "websocket.http.response.start":
                    outcome["status"] = message["status"]
                    MutableHeaders(scope=message)[HEADER] = identity
            await send(message)

        began = time.monotonic()
        structlog.contextvars.bind_contextvars(connection=identity)
        try:
            await self.app(scope, heard, said)
        finally:
            if "status" not in outcome:
                outcome.setdefault("code", NO_CODE)
            log.info("socket closed", **outcome, seconds=round(time.monotonic() - began, 1))


def identify(scope: Scope) -> str:
    """The id that the client gave its request, or a new one where it gave none, or one that would spoil a log."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if SANE.fullmatch(given) else str(uuid_utils.uuid7())
