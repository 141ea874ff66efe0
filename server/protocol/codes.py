"""The words and numbers of failure: error codes and close codes, and which protocol this is."""

from __future__ import annotations

from typing import Literal

PROTOCOL_VERSION = 1

ErrorCode = Literal[
    "bad_json",
    "bad_message",
    "unknown_type",
    "unsupported",
    "message_too_long",
    "bad_resume",
    "unknown_session",
    "not_found",
    "unauthorized",
    "rate_limited",
    "overloaded",
    "model_not_found",
    "model_invalid",
    "context_overflow",
    "backend_unreachable",
    "backend_timeout",
    "backend_error",
    "internal",
]


class CloseCode:
    """WebSocket close codes of our own. 4404: do not come back; 4408: come back at once; 4429: after `retry_after`."""

    BAD_CLIENT = 4400
    UNAUTHORIZED = 4401
    GONE = 4404
    TOO_SLOW = 4408
    FLOOD = 4429
    TRY_AGAIN = 1013
