"""How a refusal looks in each of the APIs: JSON always, with a sentence in `error`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from server.ollama import errors as ollama
from server.openai import errors as openai

OPENAI = "/v1/"
OLLAMA = frozenset(
    f"/api/{name}"
    for name in ("copy", "create", "delete", "embed", "generate", "ps", "pull", "push", "show", "tags", "version")
)
APOLOGY = "Something went wrong in the server. Its log says what."
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}  # what OpenAI's clients know a refusal by

Body = Mapping[str, object]


def refusal(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal in the words that callers of `path` know."""
    return JSONResponse(_body(path, status, message), status, headers)


def apology(path: str, request_id: str | None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What a caller of `path` hears of a failure of ours: under which id it is in the log, and nothing else."""
    body = _body(path, 500, APOLOGY)
    return JSONResponse(body if request_id is None else {**body, "request_id": request_id}, 500, headers)


def _body(path: str, status: int, message: str) -> Body:
    if path.startswith(OPENAI):
        return openai.error_body(status, message, code=_CODES.get(status))
    return ollama.error_body(message) if path in OLLAMA else {"success": False, "error": message}
