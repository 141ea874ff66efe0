"""What a key looks like, how one is made, and the only form in which the server keeps it.

A key is `sb-<id>-<secret>`. The id is no secret: it names the key in lists and in the log. The secret is 256 bits from
the system's generator, and of it a SHA-256 digest is kept. A hash made to be slow, such as Argon2, is there to make
guessing dear where people choose passwords, of which there are few; of these secrets there are 2^256, and whoever has
the digest guesses for ever at any speed. So the fast hash gives nothing away, and a check costs a microsecond.

Knows nothing of files or of requests.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from hmac import compare_digest
from typing import NamedTuple

SECRET_BYTES = 32
ID = re.compile(r"[0-9a-f]{12}")
KEY = re.compile(r"sb-(?P<id>[0-9a-f]{12})-(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)


class Token(NamedTuple):
    """A key taken apart."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"sb-{self.id}-{self.secret}"

    @classmethod
    def new(cls) -> Token:
        return cls(secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES))

    @classmethod
    def read(cls, text: str) -> Token | None:
        """The key that `text` is; None when it is none."""
        match = KEY.fullmatch(text)
        return cls(match["id"], match["secret"]) if match else None

    def digest(self) -> str:
        """What is kept of the secret, in hexadecimal."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def fits(self, digest: str) -> bool:
        """Whether that was kept of this secret. Takes as long for a near miss as for any other."""
        return compare_digest(self.digest(), digest)


def holds_key(text: str) -> bool:
    """Whether a key stands anywhere in `text`."""
    return KEY.search(text) is not None
