"""`GET /v1/models`: what programs that speak OpenAI's API may name as `model`."""

from __future__ import annotations

import time

from fastapi import APIRouter

from server.hub import Hub
from server.openai.models import ModelList


def openai_models_router(hub: Hub) -> APIRouter:
    """`GET /v1/models`, over `hub`."""
    router = APIRouter(prefix="/v1/models", tags=["openai"])
    started = int(time.time())

    @router.get("")
    async def list_models() -> ModelList:
        """List the models that can be asked, as they were last seen. Never waits for a backend."""
        return ModelList.of(hub.models().models, started)

    return router
