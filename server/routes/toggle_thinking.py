"""`POST /api/toggle-thinking`: whether the answers of a conversation begin with thinking. A form, or JSON."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from server.bodies import Body, fitting, is_json, read_body, read_form
from server.caller import caller_of
from server.hub import Hub
from server.opening import opened


class ToggleThinking(Body):
    """Of which conversation. Without `enabled` it is turned to the other; at first it is on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"session_id": "tab-1", "enabled": False}]})

    session_id: Annotated[str, Field(min_length=1, max_length=64)]
    enabled: bool | None = None


class Thinking(BaseModel):
    """How it is now. Answers that have begun stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "session_id": "4f1c…", "enabled": False}]}
    )

    success: bool = True
    session_id: Annotated[str, Field(description="The conversation's own id.")]
    enabled: bool


def toggle_thinking_router(hub: Hub) -> APIRouter:
    """`POST /api/toggle-thinking`, over `hub`."""
    router = APIRouter(prefix="/api", tags=["chat"])

    @router.post("/toggle-thinking")
    async def toggle_thinking(request: Request) -> Thinking:
        """Turn a conversation's thinking on or off, where its model can think."""
        body = await request.body()
        if is_json(body):
            asked = read_body(ToggleThinking, body)
        else:
            asked = fitting(ToggleThinking, read_form(body), strict=False)
        session = await opened(hub, asked.session_id, caller_of(request.scope).owner)
        enabled = hub.toggle_thinking(session, asked.enabled)
        await hub.saved(session)
        return Thinking(session_id=session.id, enabled=enabled)

    return router
