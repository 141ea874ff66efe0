"""`DELETE /v1/requests/{id}`: ends a stateless request that is being answered, whatever API it came by."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel

from server.caller import caller_of
from server.hub import Hub

PREFIXES = ("chatcmpl-", "cmpl-")  # which OpenAI's answers put before the id


class Cancelled(BaseModel):
    """The request of that id has been told to end."""

    id: str
    object: Literal["request"] = "request"
    cancelled: Literal[True] = True


def requests_router(hub: Hub) -> APIRouter:
    """`DELETE /v1/requests/{id}`, over `hub`."""
    router = APIRouter(prefix="/v1/requests", tags=["openai"])

    @router.delete("/{id:path}")
    async def cancel_request(identity: Annotated[str, Path(alias="id")], request: Request) -> Cancelled:
        """Cancel what runs under that id: the answer's, or the X-Request-ID that it was asked with."""
        owner = caller_of(request.scope).owner
        if not any(hub.running.cancel(name, owner) for name in _names(identity)):
            raise HTTPException(404, "No request of that id is being answered")
        return Cancelled(id=identity)

    return router


def _names(identity: str) -> list[str]:
    """What the request may be known by: a client may have made an id that only looks like one of an answer."""
    return [identity, *(identity.removeprefix(prefix) for prefix in PREFIXES if identity.startswith(prefix))]
