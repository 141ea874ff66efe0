"""Ollama's API over the models of all backends, but for `/api/chat`, which several APIs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from server.hub import Hub
from server.ollama.answering import answered
from server.ollama.errors import Refused, refused
from server.ollama.generate import generate
from server.ollama.models import in_memory, shown, tags
from server.ollama.names import resolve
from server.ollama.pull import pull
from server.ollama.requests import EmbedRequest, ShowRequest, read_json, read_request

VERSION = "0.12.11-switchboard"  # the Ollama whose requests are understood: clients look before they ask

# What changes the models of a server is not done from here.
NOT_HERE = {
    ("DELETE", "/delete"): "Models are not deleted here. Remove them where they are kept.",
    ("POST", "/copy"): "Models are not copied here.",
    (
        "POST",
        "/create",
    ): "Models are not made here. Put a GGUF file into MODEL_DIR, or make the model in Ollama itself.",
    ("POST", "/push"): "Models are not published from here.",
    ("POST", "/blobs/{digest}"): "Files of models are not taken here. Put a GGUF file into MODEL_DIR.",
}


def ollama_router(hub: Hub) -> APIRouter:
    """`/api/tags`, `show`, `ps`, `version`, `generate`, `pull`; and a clear refusal of the others."""
    router = APIRouter(prefix="/api", tags=["ollama"])
    since = hub.clock.today()

    @router.head("/version", include_in_schema=False)
    @router.get("/version")
    async def version() -> dict[str, str]:
        """The version of Ollama whose API this is."""
        return {"version": VERSION}

    @router.head("/tags", include_in_schema=False)
    @router.get("/tags")
    async def list_models() -> JSONResponse:
        """All models that can be asked."""
        return JSONResponse(tags(hub, since))

    @router.get("/ps")
    async def list_loaded() -> JSONResponse:
        """The models that are in memory."""
        return JSONResponse(in_memory(hub))

    @router.post("/show")
    async def show(request: Request) -> Response:
        """What is known of one model."""

        async def known() -> Response:
            asked = read_request(ShowRequest, read_json(await request.body()))
            return JSONResponse(shown(hub, await resolve(hub, asked.asked), since))

        return await answered(known())

    @router.post("/generate")
    async def generate_text(request: Request) -> Response:
        """Answer a prompt, as lines of JSON or in one piece."""
        return await generate(hub, request)

    @router.post("/pull")
    async def pull_model(request: Request) -> Response:
        """Fetch a model."""
        return await pull(hub, request)

    @router.post("/embed")
    @router.post("/embeddings", include_in_schema=False)
    async def embed(request: Request) -> Response:
        """No model here makes embeddings: this says so."""

        async def refuse() -> NoReturn:
            asked = read_request(EmbedRequest, read_json(await request.body()))
            entry = await resolve(hub, asked.asked)
            raise Refused(f'"{entry.name}" does not support embeddings. No model here does.')

        return await answered(refuse())

    @router.head("/blobs/{digest}", include_in_schema=False)
    async def has_blob(digest: str) -> Response:
        """No files are kept here by their digests."""
        del digest
        return Response(status_code=404)

    for (method, path), sentence in NOT_HERE.items():
        router.add_api_route(path, _refusing(sentence), methods=[method], name=path.strip("/"))
    return router


def _refusing(sentence: str) -> Callable[[], Awaitable[Response]]:
    async def refuse() -> Response:
        return refused(Refused(sentence))

    refuse.__doc__ = f"{sentence} This says so."
    return refuse
