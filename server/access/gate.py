"""Who is let in: one decision over what a request shows, the same for HTTP, for event streams and for WebSockets.

    a key in `Authorization: Bearer` or in `X-Api-Key`, which count alike; two that differ are refused
    a ticket in a WebSocket's address, which is good once
    the page's cookie, and then what is not merely read must have been sent by our own page

A key in an address is never taken: addresses are kept in logs and histories. Knows nothing of sockets or of answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import structlog
from starlette.types import Scope

from server.access.credentials import Credentials, credentials_of, is_secure, query_of
from server.access.failures import Failures
from server.access.key_file import Key
from server.access.keyring import Keyring
from server.access.logins import Logins, login_secret
from server.access.tickets import Tickets
from server.access.tokens import holds_key
from server.caller import Caller, client_in
from server.clock import Clock
from server.origins import OriginPolicy
from server.sparingly import Sparingly

log = structlog.get_logger()

TOLD_EVERY_S = 10.0  # the log, of one client's wrong keys
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SCHEME = 'Bearer realm="Switchboard"'
NO_KEY = "This server asks for a key. Send it as Authorization: Bearer, or log in on the page."
WRONG_KEY = "That key is not known here, or it has run out."
TWO_KEYS = "That request shows two different keys. Send one."
KEY_IN_ADDRESS = "A key does not belong in an address, where logs keep it. Send it as Authorization: Bearer."
TOO_OFTEN = "Too many wrong keys came from there. Wait before the next try."
FOREIGN_PAGE = "Only this server's own page may do that with its log-in. Programs send a key."


@dataclass(slots=True, frozen=True)
class Denied:
    """A caller who is not let in: with which status, and why."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


class Gate:
    """Tells who makes a request, or why they may not."""

    def __init__(self, keys: Path, policy: OriginPolicy, clock: Clock | None = None) -> None:
        """`keys` is the file of those that open it. Raises KeyFileError."""
        clock = clock or Clock()
        self.keyring = Keyring(keys, clock)
        self.logins = Logins(self.keyring, login_secret(keys), clock)
        self.tickets = Tickets(clock)
        self._failures = Failures(clock)
        self._sparingly = Sparingly(clock, TOLD_EVERY_S)
        self._policy = policy

    def admit(self, scope: Scope) -> Caller | Denied:
        """Who makes the request of that scope."""
        shown = credentials_of(scope)
        if len(shown.keys) > 1:
            return _unauthorized(TWO_KEYS)
        if shown.keys:
            found = self.key(shown.keys.pop(), client_in(scope))
            return found if isinstance(found, Denied) else self._caller(scope, found)
        if shown.ticket is not None:
            return self._ticket(scope, shown.ticket)
        if shown.cookie is not None:
            return self._cookie(scope, shown, shown.cookie)
        return _unauthorized(KEY_IN_ADDRESS if holds_key(query_of(scope)) else NO_KEY)

    def key(self, text: str, client: str) -> Key | Denied:
        """The key that `text` is. One that is none counts as a failure of `client`."""
        key = self.keyring.check(text)
        if key is not None:
            return key
        wait = self._failures.add(client)
        if (more := self._sparingly.say(client)) is not None:
            log.warning("a wrong key was shown", client=client, wait_s=wait, more=more)
        if wait:
            return Denied(429, TOO_OFTEN, {"retry-after": str(wait)})
        return _unauthorized(WRONG_KEY, wrong=True)

    def welcomes(self, caller: Caller) -> bool:
        """Whether what let `caller` in is still good."""
        if caller.login is not None and self.logins.has_ended(caller.login):
            return False
        return self.keyring.get(caller.key_id) is not None

    def _ticket(self, scope: Scope, text: str) -> Caller | Denied:
        caller = self.tickets.take(text)
        key = self.keyring.get(caller.key_id) if caller is not None else None
        if caller is None or key is None or not self.welcomes(caller):
            return _unauthorized("That ticket was used, or is too old. Ask for another one.", wrong=True)
        return self._caller(scope, key, caller.login)

    def _cookie(self, scope: Scope, shown: Credentials, value: str) -> Caller | Denied:
        login = self.logins.check(value)
        if login is None:
            return _unauthorized("That log-in has ended. Log in again.", wrong=True)
        if not self._reads(scope) and not self._is_ours(scope, shown):
            return Denied(403, FOREIGN_PAGE)
        return self._caller(scope, login.key, login.mark)

    def _caller(self, scope: Scope, key: Key, login: str | None = None) -> Caller:
        self.keyring.used(key)
        return Caller(key.owner, client_in(scope), key.id, login, key.admin)

    def _reads(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["method"] in SAFE_METHODS

    def _is_ours(self, scope: Scope, shown: Credentials) -> bool:
        """Whether our own page sent it. Browsers say where what they send came from, in one header or the other."""
        if not shown.origin:
            return scope["type"] == "http" and shown.site == "same-origin"
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        return self._policy.origin_ok(scope["headers"], host, "https" if is_secure(scope) else "http")


def _unauthorized(message: str, *, wrong: bool = False) -> Denied:
    """`wrong`: something was shown, and it is no good."""
    return Denied(401, message, {"www-authenticate": f'{SCHEME}, error="invalid_token"' if wrong else SCHEME})
