"""Which HTTP status a failure of a backend is, and when to come back. Knows no shape of an answer's body."""

from __future__ import annotations

import math

from backends.base import BackendError

INTERNAL = 500
_STATUSES = {
    "model_not_found": 404,
    "model_invalid": 503,
    "unsupported": 400,
    "context_overflow": 400,
    "overloaded": 503,
    "backend_unreachable": 503,
    "backend_timeout": 504,
    "cancelled": 499,  # as proxies log it, and no status that clients repeat a request for
}


def status_of(error: BackendError) -> int:
    """What a caller could do about it, in HTTP's words: 4xx mend the request, 503 and 504 come back, 500 nothing."""
    return _STATUSES.get(error.code, INTERNAL)


def retry_headers(error: BackendError) -> dict[str, str]:
    """`Retry-After` in whole seconds, where the error says when."""
    return {} if error.retry_after is None else {"retry-after": str(max(1, math.ceil(error.retry_after)))}
