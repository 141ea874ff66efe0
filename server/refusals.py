"""How a refusal looks in each of the APIs: JSON always, with a sentence in `error`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from server.openai.errors import error_body

OPENAI = "/v1/"


def refusal(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal in the words that callers of `path` know."""
    body = error_body(status, message) if path.startswith(OPENAI) else {"success": False, "error": message}
    return JSONResponse(body, status, headers)
