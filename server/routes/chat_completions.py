"""`POST /v1/chat/completions`: a program gives the messages of a chat, and a model answers. OpenAI's API."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.hub import Hub
from server.openai.answering import PING_EVERY_S, Answering
from server.openai.chat import ChatRequest
from server.openai.chat_answers import ChatCompletion
from server.openai.requests import read_request


def chat_completions_router(hub: Hub, ping_every_s: float = PING_EVERY_S) -> APIRouter:
    """`POST /v1/chat/completions`, over `hub`."""
    router = APIRouter(prefix="/v1", tags=["openai"])
    answering = Answering(hub, ping_every_s)

    @router.post("/chat/completions", response_model=ChatCompletion)
    async def create_chat_completion(request: Request) -> Response:
        """Answer the last message, in one piece or as a stream of events."""
        return await answering.answer(read_request(ChatRequest, await request.body()))

    return router
