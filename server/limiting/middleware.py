"""The rate limit on HTTP: which requests start work, and what the client hears of its limit, within it and past it."""

from __future__ import annotations

import math

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.clock import Clock
from server.limiting.limiter import RateLimiter, Verdict
from server.refusals import refusal
from server.sparingly import Sparingly

TOO_MANY = "That is too many requests in a short time. Come back in a moment."
STARTS_WORK = frozenset(
    {
        "/v1/completions",
        "/v1/chat/completions",
        "/generate",
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/pull",
        "/api/models/load",
        "/api/import",
    }
)

log = structlog.get_logger()


class RateLimitMiddleware:
    """Refuses with 429 what is too much, and tells how much is left on every answer to a request that is counted."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self.app = app
        self.limiter = limiter
        self._sparingly = Sparingly(Clock())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counted = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in STARTS_WORK
        whom = self.limiter.whom(scope) if counted else None
        verdict = await self.limiter.take(whom)
        if verdict is None:
            await self.app(scope, receive, send)
            return
        if verdict.wait_s > 0:
            self._note(str(whom))
            headers = {**limit_headers(verdict), "retry-after": str(math.ceil(verdict.wait_s))}
            await refusal(scope["path"], 429, TOO_MANY, headers)(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(limit_headers(verdict))
            await send(message)

        await self.app(scope, receive, told)

    def _note(self, whom: str) -> None:
        more = self._sparingly.say(whom)
        if more is not None:
            log.info("a client asks for too much", whom=whom, more=more)


def limit_headers(verdict: Verdict) -> dict[str, str]:
    """How many requests there may be in a window, how many are left, and when the window ends, in Unix seconds."""
    return {
        "x-ratelimit-limit": str(verdict.limit),
        "x-ratelimit-remaining": str(verdict.remaining),
        "x-ratelimit-reset": str(math.ceil(verdict.resets_at)),
    }
