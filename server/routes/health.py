"""Probes. `/health/live` asks nobody and does not depend on load; `/health` says whether an answer can be expected."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from server.hub import Hub


def health_router(hub: Hub) -> APIRouter:
    """`GET /health` and `GET /health/live`."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("")
    async def health(response: Response) -> dict[str, Any]:
        """200 while any backend can answer, else 503 with the reason."""
        state = await hub.health()
        if state.ok:
            return {"status": "healthy", **state.details}
        response.status_code = 503
        return {"status": "unhealthy", "reason": state.reason, **state.details}

    @router.get("/live")
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "alive"}

    return router
