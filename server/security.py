"""What stands before every HTTP route: whose name the caller used, whose page sent it, and the headers of every answer.

The WebSocket route asks the same `OriginPolicy` itself, since it refuses before it accepts.
"""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.origins import OriginPolicy
from server.refusals import refusal

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PATCH", "DELETE"],
    "allow_headers": ["*"],  # those that are asked for: clients of OpenAI's API send a dozen of their own
    "allow_credentials": False,  # such a page brings a key: cookies are our own page's
    "expose_headers": [
        "X-Request-ID",
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    ],
    "max_age": 600,
}


class SecurityMiddleware:
    """Refuses a foreign Host (400) and a foreign page's writes (403), and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = scope["headers"]
        if not self.policy.host_ok(headers):
            return refusal(scope["path"], 400, "This server does not answer to that host name. See ALLOWED_HOSTS.")
        if scope["method"] not in SAFE_METHODS and not self.policy.origin_ok(
            headers, Headers(raw=headers)["host"], scope["scheme"]
        ):
            return refusal(scope["path"], 403, "Pages of that origin may not use this server. See ALLOWED_ORIGINS.")
        return None
