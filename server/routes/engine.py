"""What the engines in this process do, in numbers: how busy, how full, how fast."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from server.hub import Hub
from server.meter import EngineReport


class EngineList(BaseModel):
    """One report for each backend that has an engine of its own, once its model is loaded."""

    engines: list[EngineReport]


def engine_router(hub: Hub) -> APIRouter:
    """`GET /api/engine`."""
    router = APIRouter(prefix="/api/engine", tags=["engine"])

    @router.get("", response_model_exclude_none=True)
    async def engines() -> EngineList:
        """Give the numbers as last measured, a moment ago at most while anything runs. Never waits for an engine."""
        return EngineList(engines=hub.meter.reports())

    return router
