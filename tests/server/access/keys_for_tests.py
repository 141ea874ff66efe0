"""Keys in a file of the test's own, and what is needed to use them."""

from __future__ import annotations

from pathlib import Path

from server.access.key_file import Key, change_keys
from server.access.tokens import Token


def add_key(path: Path, name: str = "Ann", *, owner: str = "", admin: bool = False, until: float | None = None) -> str:
    """Put another key into the file. Gives the key itself."""
    token = Token.new()
    key = Key(token.id, name, token.digest(), owner or token.id, admin, 1_700_000_000.0, until)
    change_keys(path, lambda keys: [*keys, key])
    return str(token)


def remove_key(path: Path, text: str) -> None:
    """Take a key out of the file."""
    change_keys(path, lambda keys: [key for key in keys if key.id != id_of(text)])


def id_of(text: str) -> str:
    """The id of a key."""
    return _read(text).id


def secret_of(text: str) -> str:
    """What is secret of a key."""
    return _read(text).secret


def _read(text: str) -> Token:
    token = Token.read(text)
    assert token is not None
    return token
