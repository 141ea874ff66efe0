"""The connections that one client may have, for clients behind a trusted proxy: what they have open there is counted.

A proxy's own connections come from one address and carry one client's request after another's, so here it is requests
and WebSockets that count, for as long as they last.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.admission import RETRY_AFTER_S, Admission, Full
from server.refusals import refusal


class ProxiedAdmission:
    """Refuses with 429, before a WebSocket is one, what is one too many of a client that came by a trusted proxy."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self.app = app
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("state", {}).get("proxied"):
            await self.app(scope, receive, send)
            return
        address = scope["client"][0]
        full = self.admission.crowd(address)
        if full is not None:
            await self._refuse(full, scope, receive, send)
            return
        leave = self.admission.join(address)
        try:
            await self.app(scope, receive, send)
        finally:
            leave()

    async def _refuse(self, full: Full, scope: Scope, receive: Receive, send: Send) -> None:
        answer = refusal(scope["path"], full.status, full.message, {"retry-after": str(RETRY_AFTER_S)})
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(answer)
        else:
            await answer(scope, receive, send)
