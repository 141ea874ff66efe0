"""The application with a complete description of itself at `/openapi.json`.

FastAPI describes what it reads and writes by itself. Bodies that a route reads by hand, answers of several kinds, what
may be refused on the way there, and the examples are added from tables.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from fastapi import FastAPI

from server.openapi.answers import ANSWERS, NEVER
from server.openapi.answers import SCHEMAS as ANSWERED
from server.openapi.bodies import BODIES
from server.openapi.examples import EXAMPLES, PARAMETERS
from server.openapi.refusals import SCHEMAS as REFUSED
from server.openapi.refusals import refusals
from server.openapi.security import SCHEMES, ways_in

TAGS = {
    "chat": "Say something in a conversation, which outlives every connection; follow it at `/api/stream`.",
    "stream": "Conversations as server-sent events.",
    "conversations": "The conversations that are kept: list, search, rename, delete, export, import.",
    "generate": "A text's continuation, one token an event.",
    "openai": "OpenAI's API.",
    "ollama": "Ollama's API.",
    "models": "Which models there are, and which one is used.",
    "engine": "What the engine in this process does.",
    "health": "Probes and measures.",
    "access": "Logging in, where a key is asked for.",
}

Document = dict[str, Any]


class DescribedAPI(FastAPI):
    """A FastAPI application whose document says all that its routes take and give."""

    @cached_property
    def _document(self) -> Document:
        return completed(super().openapi())

    def openapi(self) -> Document:
        return self._document


def completed(document: Document) -> Document:
    """`document`, which FastAPI made, with what it could not know."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= REFUSED | ANSWERED
    document["components"]["securitySchemes"] = SCHEMES
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, method, path, schemas)
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's words for a refusal are not ours
        schemas.pop(unused, None)
    return document


def _complete(operation: Document, method: str, path: str, schemas: Document) -> None:
    if (body := BODIES.get((method, path))) is not None:
        operation["requestBody"] = body.described(schemas)
    responses = operation["responses"]
    if (answer := ANSWERS.get((method, path))) is not None:
        responses["200"] = answer.described(schemas)
    if (method, path) in NEVER:
        del responses["200"]
    parameters = operation.get("parameters", [])
    possible = refusals(method, path, "requestBody" in operation, bool(parameters))
    own = {status: response for status, response in responses.items() if status not in possible or status == "503"}
    operation["responses"] = possible | own
    for parameter in parameters:
        if (value := PARAMETERS.get(parameter["name"])) is not None:
            parameter["example"] = value
    if (shown := EXAMPLES.get((method, path))) is not None:
        shown.put_into(operation)
    operation["security"] = ways_in(path)
