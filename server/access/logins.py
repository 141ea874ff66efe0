"""The page's log-in as a cookie: a value that only this server can make, that runs out, and that dies with its key.

The value is `<key id>.<login id>.<expiry>.<signature>`, and the signature an HMAC-SHA256 over the rest and the digest
of the key, under a secret that lies beside the file of keys: a copy of either file alone lets nobody in. Nothing is
stored for a login, so it survives a restart; one that was logged out is remembered until it has run out, or until the
server ends.

Knows nothing of requests or cookies' attributes.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from server.access.key_file import Key, write_private
from server.access.keyring import Keyring
from server.clock import Clock

SECRET_BYTES = 32
LASTS_S = 30 * 24 * 3600.0
MAX_LOGGED_OUT = 10_000
VALUE = re.compile(
    r"(?P<told>(?P<key>[0-9a-f]{12})\.(?P<id>[0-9a-f]{16})\.(?P<until>\d{1,12}))\.(?P<mac>[0-9a-f]{64})", re.ASCII
)

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Login:
    """Somebody who logged in, and with which key. `until` is Unix seconds."""

    id: str
    key: Key
    until: int

    @property
    def mark(self) -> str:
        """What a caller who came in with it is known by."""
        return f"{self.id}.{self.until}"

    @property
    def expires(self) -> datetime:
        return datetime.fromtimestamp(self.until, UTC)


class Logins:
    """Makes and checks the cookie's value."""

    def __init__(self, keyring: Keyring, secret: bytes, clock: Clock | None = None) -> None:
        self._keyring = keyring
        self._secret = secret
        self._clock = clock or Clock()
        self._logged_out: dict[str, int] = {}  # until when each would have lasted

    def begin(self, key: Key) -> tuple[Login, str]:
        """Log in with `key`. Gives the login and the cookie's value."""
        until = int(min(self._clock.today() + LASTS_S, key.expires_at or float("inf")))
        login = Login(secrets.token_hex(8), key, until)
        told = f"{key.id}.{login.id}.{until}"
        return login, f"{told}.{self._sign(told, key)}"

    def check(self, value: str) -> Login | None:
        """The login that the cookie is of, if it is a good one."""
        match = VALUE.fullmatch(value)
        if match is None or int(match["until"]) <= self._clock.today() or match["id"] in self._logged_out:
            return None
        key = self._keyring.get(match["key"])
        if key is None or not hmac.compare_digest(self._sign(match["told"], key), match["mac"]):
            return None
        return Login(match["id"], key, int(match["until"]))

    def end(self, login: Login) -> None:
        """Log out: the cookie is good no more, wherever else there is a copy of it."""
        now = self._clock.today()
        self._logged_out = {each: until for each, until in self._logged_out.items() if until > now}
        if len(self._logged_out) >= MAX_LOGGED_OUT:
            self._logged_out.pop(next(iter(self._logged_out)))
        self._logged_out[login.id] = login.until

    def has_ended(self, mark: str) -> bool:
        """Whether the login of that mark was logged out, or has run out."""
        identity, _, until = mark.partition(".")
        return identity in self._logged_out or int(until) <= self._clock.today()

    def _sign(self, told: str, key: Key) -> str:
        return hmac.digest(self._secret, f"{told}.{key.digest}".encode(), "sha256").hex()


def login_secret(path: Path) -> bytes:
    """The secret beside the file of keys, made when there is none. One that cannot be kept lasts until the end."""
    file = path.with_name(f"{path.stem}.secret")
    try:
        if file.exists() and len(secret := file.read_bytes()) == SECRET_BYTES:
            return secret
        secret = secrets.token_bytes(SECRET_BYTES)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, secret)
    except OSError as error:
        log.warning("the secret of logins is not kept: people log in again after a restart", reason=error.strerror)
        return secrets.token_bytes(SECRET_BYTES)
    return secret
