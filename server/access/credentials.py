"""What a caller shows to be let in: keys in headers, the page's cookie, a ticket. Found, and not judged.

Knows ASGI's scopes, and nothing of what is a good key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import cookie_parser
from starlette.types import Scope

COOKIE = "switchboard_login"
SECURE_COOKIE = f"__Host-{COOKIE}"  # a prefix that browsers take from https alone, and from no subdomain
TICKET = "ticket"
BEARER = "bearer"


@dataclass(slots=True)
class Credentials:
    """`keys` are all that stand in headers, each once; `origin` and `site` are what a browser says of the page."""

    keys: set[str] = field(default_factory=set)
    cookie: str | None = None
    ticket: str | None = None
    origin: bool = False
    site: str = ""


def credentials_of(scope: Scope) -> Credentials:
    """What the request of that scope shows."""
    found = Credentials()
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            if scheme.lower() == BEARER and key.strip():
                found.keys.add(key.strip())
        elif name == b"x-api-key":
            if key := value.decode("latin-1").strip():
                found.keys.add(key)
        elif name == b"cookie":
            found.cookie = found.cookie or cookie_parser(value.decode("latin-1")).get(cookie_name(scope))
        elif name == b"origin":
            found.origin = True
        elif name == b"sec-fetch-site":
            found.site = value.decode("latin-1")
    if scope["type"] == "websocket" and scope["query_string"]:
        found.ticket = parse_qs(scope["query_string"].decode("latin-1")).get(TICKET, [None])[0]
    return found


def cookie_name(scope: Scope) -> str:
    """The name of the log-in's cookie in the connection of that scope."""
    return SECURE_COOKIE if is_secure(scope) else COOKIE


def is_secure(scope: Scope) -> bool:
    """Whether the client sees this connection as https."""
    return scope["scheme"] in ("https", "wss")


def query_of(scope: Scope) -> str:
    """What stands behind the question mark, as text."""
    return unquote_plus(scope["query_string"].decode("latin-1"))
