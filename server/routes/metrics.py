"""`GET /metrics`: what Prometheus reads."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import Response

DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}, "description": "The measures"}
}


def metrics_router(measured: Collector) -> APIRouter:
    """`GET /metrics`, over `measured` and what the system knows of this process."""
    registry = CollectorRegistry()
    registry.register(measured)
    ProcessCollector(registry=registry)
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses=DOCUMENT)
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Tell all that is measured, in Prometheus' text format, or in OpenMetrics for those who accept it."""
        encode, content_type = choose_encoder(accept)
        return Response(encode(registry), media_type=content_type)

    return router
