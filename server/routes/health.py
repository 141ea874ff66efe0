"""Probes. None of them waits for a backend.

`/health` says whether an answer can be expected, `/health/ready` whether to send people here now, and `/health/live`
whether the process runs, which depends on nothing else.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from server.hub import Hub

RETRY_AFTER_S = 5


def health_router(hub: Hub) -> APIRouter:
    """`GET /health`, `GET /health/ready` and `GET /health/live`."""
    router = APIRouter(prefix="/health", tags=["health"])

    @router.get("")
    async def health(response: Response) -> dict[str, Any]:
        """200 while any backend can answer, else 503 with the reason."""
        state = await hub.health()
        if state.ok:
            return {"status": "healthy", **state.details}
        response.status_code = 503
        return {"status": "unhealthy", "reason": state.reason, **state.details}

    @router.get("/ready")
    async def ready(response: Response) -> dict[str, Any]:
        """200: take traffic. 503 with the reason while starting, draining, overloaded, or without a model."""
        state = hub.ready()
        if state.ok:
            return {"status": "ready"}
        response.status_code = 503
        response.headers["retry-after"] = str(RETRY_AFTER_S)
        return {"status": "not ready", "reason": state.reason}

    @router.get("/live")
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "alive"}

    return router
