"""Logging in and out on the page, who one is, and tickets for a WebSocket.

Where the server asks for no key, `GET /api/me` says so, and logging in is not found. Knows cookies; what they are worth
is the gate's matter.
"""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from server.access.credentials import cookie_name, credentials_of, is_secure
from server.access.gate import Denied, Gate
from server.access.tickets import LASTS_S
from server.caller import caller_of, client_in
from server.connections import ConnectionManager
from server.protocol import CloseCode

Refused = {"model": dict[str, Any], "description": 'Why not, as `{"error": "…"}`.'}


class LoginRequest(BaseModel):
    """A key, to log in with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "sb-3f9c0a7be412-…"}]})

    key: Annotated[str, Field(max_length=512)]


class Me(BaseModel):
    """Who is asking. Without `authentication` everybody is the same one, and there is nothing to log in to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"authentication": True, "name": "Ann's laptop", "key": "3f9c0a7be412", "owner": "3f9c0a7be412"},
                {"authentication": False, "admin": True},
            ]
        }
    )

    authentication: bool
    name: Annotated[str | None, Field(description="The name of the key.")] = None
    key: Annotated[str | None, Field(description="The id of the key; the key itself is never told.")] = None
    owner: Annotated[str | None, Field(description="Whose conversations are listed.")] = None
    admin: bool = True


class Ticket(BaseModel):
    """What lets one WebSocket in: `/ws?ticket=…`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ticket": "mCkLkGnqPWzXhN0fRk0dI1mTq3wXbWc0nq8oD3E9yVY", "expires_in": 30}]}
    )

    ticket: str
    expires_in: Annotated[int, Field(description="Seconds.")]


def login_router(gate: Gate | None, connections: ConnectionManager) -> APIRouter:
    """`/api/login`, `/api/logout`, `/api/me` and `/api/ws-ticket`; without a gate only what says that there is none."""
    router = APIRouter(prefix="/api", tags=["access"])
    _add_me(router, gate)
    if gate is not None:
        _add_login(router, gate, connections)
        _add_ticket(router, gate)
    return router


def _add_me(router: APIRouter, gate: Gate | None) -> None:
    @router.get("/me", response_model_exclude_none=True, responses={401: Refused})
    async def me(request: Request) -> Me:
        """Say who is asking, and whether there is anything to log in to."""
        caller = caller_of(request.scope)
        key = gate.keyring.get(caller.key_id) if gate is not None else None
        if key is None:
            return Me(authentication=False)
        return Me(authentication=True, name=key.name, key=key.id, owner=key.owner, admin=key.admin)


def _add_login(router: APIRouter, gate: Gate, connections: ConnectionManager) -> None:
    @router.post("/login", responses={401: Refused, 429: Refused})
    async def login(request: Request, response: Response, wanted: LoginRequest) -> Me:
        """Log in with a key: the answer sets a cookie that no script can read and no other site's page sends."""
        key = gate.key(wanted.key.strip(), client_in(request.scope))
        if isinstance(key, Denied):
            raise HTTPException(key.status, key.message.removesuffix("."), key.headers)
        structlog.contextvars.bind_contextvars(key=key.id)
        begun, value = gate.logins.begin(key)
        scope = request.scope
        response.set_cookie(
            cookie_name(scope), value, expires=begun.expires, secure=is_secure(scope), httponly=True, samesite="strict"
        )
        return Me(authentication=True, name=key.name, key=key.id, owner=key.owner, admin=key.admin)

    @router.post("/logout", status_code=204, response_class=Response)
    async def logout(request: Request) -> Response:
        """Log out: the cookie is good no more, and what it opened is closed."""
        cookie = credentials_of(request.scope).cookie
        ended = gate.logins.check(cookie) if cookie is not None else None
        if ended is not None:
            gate.logins.end(ended)
            connections.send_away(lambda caller: caller.login == ended.mark, CloseCode.UNAUTHORIZED)
        response = Response(status_code=204)
        scope = request.scope
        response.delete_cookie(cookie_name(scope), secure=is_secure(scope), httponly=True, samesite="strict")
        return response


def _add_ticket(router: APIRouter, gate: Gate) -> None:
    @router.post("/ws-ticket", responses={401: Refused})
    async def ws_ticket(request: Request) -> Ticket:
        """Get a ticket that lets one WebSocket in, for clients that can send neither a header nor the cookie there."""
        return Ticket(ticket=gate.tickets.give(caller_of(request.scope)), expires_in=LASTS_S)
