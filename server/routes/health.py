"""Probes, and which release this is. None of them waits for a backend.

`/health` says whether an answer can be expected, `/health/ready` whether to send people here now, and `/health/live`
whether the process runs, which depends on nothing else.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from server.hub import Hub
from server.protocol.codes import PROTOCOL_VERSION
from server.routes.engine import engine_state
from server.version import VERSION

RETRY_AFTER_S = 5


class BackendHealth(BaseModel):
    """Whether one backend can answer, and if not, why."""

    ok: bool
    reason: str | None = None


class HealthReport(BaseModel):
    """How the server is. `engine` is the current model's state, unless the server itself is in the way.

    Counts are of answers, chats' and other requests' alike, since the start; `active_requests` are being answered now.
    """

    status: Literal["healthy", "unhealthy"]
    reason: str | None = None
    engine: str
    is_ready: bool
    uptime_seconds: float
    request_count: int
    active_requests: int
    tokens_generated: int
    sessions: int
    backends: dict[str, BackendHealth]


class Readiness(BaseModel):
    """Whether to send people here now, and if not, why."""

    status: Literal["ready", "not ready"]
    reason: str | None = None


class Liveness(BaseModel):
    """That the process runs."""

    status: Literal["alive"] = "alive"


class Version(BaseModel):
    """The release, and the version of the WebSocket protocol that it speaks."""

    version: str = VERSION
    protocol: int = PROTOCOL_VERSION


def health_router(hub: Hub) -> APIRouter:
    """`GET /health`, `GET /health/ready`, `GET /health/live` and `GET /version`."""
    router = APIRouter(tags=["health"])

    @router.get("/health", response_model_exclude_none=True, responses={503: {"model": HealthReport}})
    async def health(response: Response) -> HealthReport:
        """200 while any backend can answer, else 503 with the reason."""
        told = report(hub)
        if told.status != "healthy":
            response.status_code = 503
        return told

    @router.get("/health/ready", response_model_exclude_none=True, responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """200: take traffic. 503 with the reason while starting, draining, overloaded, or without a model."""
        state = hub.ready()
        if state.ok:
            return Readiness(status="ready")
        response.status_code = 503
        response.headers["retry-after"] = str(RETRY_AFTER_S)
        return Readiness(status="not ready", reason=state.reason)

    @router.get("/health/live")
    async def live() -> Liveness:
        """The process runs."""
        return Liveness()

    @router.get("/version")
    async def version() -> Version:
        """Tell which release this is."""
        return Version()

    return router


def report(hub: Hub) -> HealthReport:
    """All that `/health` tells."""
    health, measures = hub.health(), hub.answer_measures
    return HealthReport(
        status="healthy" if health.ok else "unhealthy",
        reason=health.reason,
        engine=engine_state(hub),
        is_ready=hub.ready().ok,
        uptime_seconds=round(hub.uptime, 3),
        request_count=measures.begun,
        active_requests=hub.active,
        tokens_generated=sum(model.generated_tokens for model in measures.models.values()),
        sessions=len(hub.sessions),
        backends={name: BackendHealth(**state) for name, state in health.details["backends"].items()},
    )
