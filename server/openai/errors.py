"""What a caller of OpenAI's API is told when something is wrong: one object, `error`, with a sentence and words for it.

Knows nothing of how it is sent: before the answer with a status, or inside a stream that has begun.
"""

from __future__ import annotations

from backends.base import BackendError, Unsupported
from server.statuses import status_of

# Where clients know a failure, or a field, by another word than the backends do.
_CODES = {"context_overflow": "context_length_exceeded"}
_FIELDS = {"token_ids": "prompt", "think": "reasoning_effort", "repeat_penalty": "repetition_penalty"}

_WORDS = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class BadRequest(Exception):
    """A request that cannot be read, or asks for what there is not. `param` names the field that is to blame."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """The object that clients make their exceptions of; `status` is the one it has, or would have had."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code or _WORDS.get(status)}}


def failure_body(error: BackendError) -> dict[str, dict[str, str | None]]:
    """The object for what a backend, or the hub, could not do."""
    param = "model" if error.code == "model_not_found" else None
    if isinstance(error, Unsupported) and error.field is not None:
        param = _FIELDS.get(error.field, error.field)
    return error_body(status_of(error), error.message, param=param, code=_CODES.get(error.code, error.code))
