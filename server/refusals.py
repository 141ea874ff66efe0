"""How a refusal looks in each of the APIs: JSON always, with a sentence in `error`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from server.openai.errors import error_body

OPENAI = "/v1/"
_CODES = {401: "invalid_api_key"}  # what OpenAI's clients know a refusal by
APOLOGY = "Something went wrong in the server. Its log says what."


def refusal(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal in the words that callers of `path` know."""
    body = (
        error_body(status, message, code=_CODES.get(status))
        if path.startswith(OPENAI)
        else {"success": False, "error": message}
    )
    return JSONResponse(body, status, headers)


def apology(path: str, request_id: str | None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What a caller of `path` hears of a failure of ours: under which id it is in the log, and nothing else."""
    body = error_body(500, APOLOGY) if path.startswith(OPENAI) else {"success": False, "error": APOLOGY}
    return JSONResponse(body if request_id is None else {**body, "request_id": request_id}, 500, headers)
