"""`/v1/models`: what programs that speak OpenAI's API may name as `model`."""

from __future__ import annotations

import time

from fastapi import APIRouter

from backends.base import ModelNotFound
from server.hub import Hub
from server.openai.models import Model, ModelList
from server.openai.requests import DEFAULT_MODEL, SHOWN


def openai_models_router(hub: Hub) -> APIRouter:
    """`GET /v1/models` and `GET /v1/models/{name}`, over `hub`."""
    router = APIRouter(prefix="/v1/models", tags=["openai"])
    started = int(time.time())

    @router.get("", response_model_exclude_none=True)
    async def list_models() -> ModelList:
        """List the models that can be asked, as they were last seen. Never waits for a backend."""
        return ModelList.of(hub.models().models, started)

    @router.get("/{name:path}", response_model_exclude_none=True)
    async def get_model(name: str) -> Model:
        """Show one of them, by any of the names that a request may say."""
        full = await hub.resolve("" if name == DEFAULT_MODEL else name)
        found = next((model for model in ModelList.of(hub.models().models, started).data if model.id == full), None)
        if found is None:
            raise ModelNotFound(f"The model {full[:SHOWN]} cannot be asked at the moment.")
        return found

    return router
