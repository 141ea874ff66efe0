"""What the engines in this process do, in numbers: how busy, how full, how fast; and whether they can be asked."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from server.hub import Hub
from server.meter import EngineReport

RETRY_AFTER_S = 5


class EngineList(BaseModel):
    """One report for each backend that has an engine of its own, once its model is loaded."""

    engines: list[EngineReport]


class EngineStats(EngineList):
    """The same, with what they have done together. `active_requests` counts those of every backend."""

    requests_processed: int
    tokens_generated: int
    active_requests: int


class EngineHealth(BaseModel):
    """Whether an answer would begin now. `state` is the current model's, unless the server itself is in the way."""

    status: Literal["healthy", "unhealthy"]
    state: str
    model: str
    reason: str | None = None


def engine_router(hub: Hub) -> APIRouter:
    """`GET /api/engine`, `GET /v1/engine/stats` and `GET /v1/engine/health`."""
    router = APIRouter(tags=["engine"])

    @router.get("/api/engine", response_model_exclude_none=True)
    async def engines() -> EngineList:
        """Give the numbers as last measured, a moment ago at most while anything runs. Never waits for an engine."""
        return EngineList(engines=hub.meter.reports())

    @router.get("/v1/engine/stats", response_model_exclude_none=True)
    async def engine_stats() -> EngineStats:
        """Give the same numbers, and their sums."""
        reports = hub.meter.reports()
        return EngineStats(
            requests_processed=sum(report.requests_finished for report in reports),
            tokens_generated=sum(report.completion_tokens for report in reports),
            active_requests=hub.active,
            engines=reports,
        )

    @router.get("/v1/engine/health", response_model_exclude_none=True, responses={503: {"model": EngineHealth}})
    async def engine_health(response: Response) -> EngineHealth:
        """200 while an answer would begin now, else 503 with the reason. Never waits for a backend."""
        ready, state = hub.ready(), engine_state(hub)
        if ready.ok:
            return EngineHealth(status="healthy", state=state, model=hub.current)
        response.status_code = 503
        response.headers["retry-after"] = str(RETRY_AFTER_S)
        return EngineHealth(status="unhealthy", state=state, model=hub.current, reason=ready.reason)

    return router


def engine_state(hub: Hub) -> str:
    """The current model's state, unless the server itself is in the way."""
    if hub.draining:
        return "draining"
    current = hub.current
    return next((entry.state for entry in hub.models().models if entry.name == current), "uninitialized")
