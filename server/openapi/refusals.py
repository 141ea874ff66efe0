"""What may be answered instead: by which status, in which API's words."""

from __future__ import annotations

from typing import Any

from server.limiting.middleware import STARTS_WORK

Document = dict[str, Any]

OPENAI = "/v1/"
OLLAMA = ("/api/show", "/api/pull", "/api/embed", "/api/delete", "/api/copy", "/api/create", "/api/push", "/api/blobs")
FETCHES = ("/api/models/load", "/api/pull", "/api/show", "/api/embed")  # what names a model, and may wait for it

WORDS = {
    400: "The request cannot be understood, or came under a foreign Host.",
    401: "A key is asked for, and there was none, or not a good one.",
    403: "The page that sent it is foreign, or the key is not an administrator's.",
    404: "There is nothing of that name.",
    413: "The body is too large.",
    422: "A field does not fit; the sentence names it.",
    429: "That is too much in a short time. `Retry-After` says when to come back.",
    499: "Somebody cancelled it by its id.",
    500: "The backend failed, or the server did; its log says how.",
    503: "There is no room, no model or no history at the moment. `Retry-After` may say when to come back.",
    504: "The backend took too long.",
}
SCHEMAS: Document = {
    "Refusal": {
        "title": "Refusal",
        "description": "Why not, in a sentence.",
        "type": "object",
        "required": ["error"],
        "properties": {
            "success": {"const": False},
            "error": {"type": "string"},
            "request_id": {"type": "string", "description": "The id it has in the server's log."},
        },
        "examples": [{"success": False, "error": "There is no model nobody here. Pick one from the list."}],
    },
    "OpenAIRefusal": {
        "title": "OpenAIRefusal",
        "description": "Why not, as clients of OpenAI's API make their exceptions of it.",
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"], "description": "The field that is to blame."},
                    "code": {"type": ["string", "null"]},
                },
            },
            "request_id": {"type": "string"},
        },
        "examples": [
            {
                "error": {
                    "message": "temperature: Input should be less than or equal to 2.",
                    "type": "invalid_request_error",
                    "param": "temperature",
                    "code": "invalid_value",
                }
            }
        ],
    },
}


def refusals(method: str, path: str, has_body: bool, has_parameters: bool) -> dict[str, Document]:
    """Every status that a caller of that operation may meet beside its own."""
    statuses = {400, 401, 429, 500, 503}
    if method != "get":
        statuses |= {403}
    if has_body:
        statuses |= {413} if path.startswith(OPENAI) else {404, 413, 422}
    if has_parameters:
        statuses |= {404, 422}
    if path in STARTS_WORK or path in FETCHES:
        statuses |= {404, 499, 504}
    if path.startswith(OLLAMA):
        statuses |= {404}
    schema = "OpenAIRefusal" if path.startswith(OPENAI) else "Refusal"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {str(status): {"description": WORDS[status], "content": content} for status in sorted(statuses)}
