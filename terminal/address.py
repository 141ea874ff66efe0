"""Where the server is, and the key that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from terminal.trouble import Misuse

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(slots=True, frozen=True)
class Address:
    """A server's base URL, without a slash at its end, and the key it is asked with, which may be empty."""

    url: str
    key: str = ""

    @classmethod
    def read(cls, url: str, key: str = "") -> Address:
        """The address that a person gave: `host:port` will do. Raises Misuse."""
        whole = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(whole)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise Misuse(f"{url} is no address of a server. One looks like {DEFAULT_URL}.")
        if not (key.isascii() and key.isprintable()):
            raise Misuse("A key consists of plain letters, digits and signs; this one does not.")
        return cls(urlunsplit(parts._replace(path=parts.path.rstrip("/"), query="", fragment="")), key)

    @property
    def headers(self) -> dict[str, str]:
        """What each request says of who asks."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def socket(self, **query: str) -> str:
        """The URL of the WebSocket, with what is asked of it."""
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit(parts._replace(scheme=scheme, path=f"{parts.path}/ws", query=urlencode(query)))
