"""`POST /v1/completions`: a program gives a text, and a model goes on with it. OpenAI's API in its plain form."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.hub import Hub
from server.openai.answering import PING_EVERY_S, Answering
from server.openai.completion_answers import Completion
from server.openai.completions import CompletionRequest
from server.openai.requests import read_request


def completions_router(hub: Hub, ping_every_s: float = PING_EVERY_S) -> APIRouter:
    """`POST /v1/completions`, over `hub`."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    answering = Answering(hub, ping_every_s)

    @router.post("/completions", response_model=Completion)
    async def create_completion(request: Request) -> Response:
        """Go on from a text, in one piece or as a stream of events."""
        return await answering.answer(read_request(CompletionRequest, await request.body()))

    return router
