"""What a caller of Ollama's API is told when something is wrong: one sentence in `error`, with a status before it.

Clients find out by the status what is meant, so the sentences are ours; where clients are known to look for words of
Ollama's own, they hold those too.
"""

from __future__ import annotations

from starlette.responses import JSONResponse

from backends.base import BackendError, Overloaded, Unsupported
from server.statuses import retry_headers, status_of

SHOWN = 120  # characters of a name that somebody else chose
STOPPING = Overloaded("The server is restarting. Ask again in a moment.", retry_after=1)

# Fields of our requests that Ollama's clients know by another name.
_FIELDS = {"response_format": "format", "max_tokens": "num_predict", "resume_text": "messages", "think": "thinking"}


class Refused(Exception):
    """A request that cannot be read, or asks for what there is not."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def error_body(message: str) -> dict[str, str]:
    """The object that clients make their exceptions of, before an answer or as the last line of one."""
    return {"error": message}


def not_found(model: str) -> str:
    """The sentence for a name that no model has."""
    return f"model '{model[:SHOWN]}' not found"


def failure_text(error: BackendError, model: str) -> str:
    """The sentence for what a backend, or the hub, could not do with the model that was asked for by that name."""
    if error.code == "model_not_found" and model:
        return not_found(model)
    if isinstance(error, Unsupported) and error.field is not None:
        return f'"{model[:SHOWN]}" does not support {_FIELDS.get(error.field, error.field)}: {error.message}'
    return error.message


def failure(error: BackendError, model: str = "") -> JSONResponse:
    """The answer for what failed before there was any other."""
    return JSONResponse(error_body(failure_text(error, model)), status_of(error), retry_headers(error))


def refused(error: Refused) -> JSONResponse:
    """The answer for a request that is not followed."""
    return JSONResponse(error_body(error.message), error.status)
