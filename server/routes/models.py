"""The models over HTTP: which there are, and which one new conversations use."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from backends.base import BackendError, ModelInvalid
from server.caller import caller_of
from server.hub import Hub
from server.protocol import ModelEntry
from server.statuses import retry_headers, status_of


class ModelList(BaseModel):
    """Every model of every backend, in order of preference."""

    current: str
    max_tokens: int
    models: list[ModelEntry]


class LoadRequest(BaseModel):
    """The model to make ready, as `backend/name` or by its bare name."""

    model: Annotated[str, Field(min_length=1, max_length=256)]


class LoadAnswer(BaseModel):
    """Whether it worked. When it did not, the model that was current before still is."""

    success: bool
    model: str | None = None
    error: str | None = None


def models_router(hub: Hub) -> APIRouter:
    """`GET /api/models` and `POST /api/models/load`."""
    router = APIRouter(prefix="/api/models", tags=["models"])

    @router.get("", response_model_exclude_none=True)
    async def list_models() -> ModelList:
        """List the models as they were last seen. Never waits for a backend."""
        models = hub.models()
        return ModelList(current=models.current, max_tokens=models.max_tokens, models=models.models)

    @router.post("/load", response_model_exclude_none=True)
    async def load_model(asking: Request, request: LoadRequest, response: Response) -> LoadAnswer:
        """Make a model ready and current; answers when it is. Progress goes out as `loading` messages.

        One that is not listed is fetched where that can be done, if an administrator asks.
        """
        try:
            if not caller_of(asking.scope).admin:
                await hub.resolve(request.model)
            name = await hub.load_model(request.model)
        except BackendError as error:
            response.status_code = 422 if isinstance(error, ModelInvalid) else status_of(error)
            response.headers.update(retry_headers(error))
            return LoadAnswer(success=False, error=error.message)
        return LoadAnswer(success=True, model=name)

    return router
