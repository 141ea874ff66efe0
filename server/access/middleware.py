"""What stands before every route of a server that asks for keys: lets a caller in under their name, or not at all.

A WebSocket is refused before it is accepted, with the same status as any other request. Knows the gate, and nothing of
what routes do.
"""

from __future__ import annotations

import structlog
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.access.gate import Denied, Gate
from server.access.rules import is_admins, is_open
from server.caller import Caller
from server.refusals import refusal

ADMINS_ONLY = "To have a model fetched takes an administrator's key."


class AccessMiddleware:
    """Puts the caller into the scope's state, or answers 401, 403 or 429 in the words of the API that was asked."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        found = self._admit(scope)
        if isinstance(found, Caller):
            scope.setdefault("state", {})["caller"] = found
            structlog.contextvars.bind_contextvars(key=found.key_id)
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await _refused(scope["path"], found)(scope, receive, send)
        else:
            answer = PlainTextResponse(found.message, found.status, found.headers)
            await WebSocket(scope, receive, send).send_denial_response(answer)

    def _admit(self, scope: Scope) -> Caller | Denied:
        found = self._gate.admit(scope)
        if isinstance(found, Caller) and not found.admin and is_admins(scope.get("method", ""), scope["path"]):
            return Denied(403, ADMINS_ONLY)
        return found


def _refused(path: str, denied: Denied) -> JSONResponse:
    return refusal(path, denied.status, denied.message, denied.headers)
