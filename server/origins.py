"""Who may talk to this server: a pure decision over the `Host` and `Origin` headers.

Browsers let any page open a WebSocket or post a form to any address, and a hostile name can be made to point at this
machine (DNS rebinding). So a name must be one of ours, while an address written in digits cannot be rebound. And a
page must come from our own origin, or from one that the settings name; a client that is no browser sends no `Origin`.

Knows nothing of requests or responses: headers come in as ASGI has them, pairs of bytes with lower-case names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

Headers = Iterable[tuple[bytes, bytes]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
OTHER_SITES = frozenset({"cross-site", "same-site"})
DEFAULT_PORTS = {"http": 80, "https": 443}
AUTHORITY = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?", re.ASCII)


class OriginPolicy:
    """The hosts this server answers to, and the origins whose pages may use it.

    `host` and `port` are what it listens on; `allowed_hosts` are further names, `allowed_origins` further origins,
    which are in `origins` as browsers write them. Raises ValueError for what is no origin.
    """

    def __init__(
        self, host: str, port: int, allowed_hosts: Sequence[str] = (), allowed_origins: Sequence[str] = ()
    ) -> None:
        self._port = port
        self._names = LOOPBACK | {name.lower() for name in (host, *allowed_hosts)}
        self.origins = frozenset(_origin(text) for text in allowed_origins)

    def host_ok(self, headers: Headers) -> bool:
        """Whether there is exactly one `Host`, and it is a name of ours or an address in digits, with any port."""
        values = _values(headers, b"host")
        authority = _authority(values[0].lower()) if len(values) == 1 else None
        return authority is not None and (authority[0] in self._names or _is_address(authority[0]))

    def origin_ok(self, headers: Headers, host: str, scheme: str = "http") -> bool:
        """Whether there is no `Origin`, or exactly one that is ours.

        A browser that leaves it out may still say in `Sec-Fetch-Site` that another site's page is behind the request.
        `host` is the request's own `Host`, `scheme` is "http" or "https" as the client sees it. Ours is the very place
        the request was made to, another loopback name of it, and what the settings list. Browsers send origins in
        lower case and without a default port; whatever is written differently did not come from one.
        """
        values = _values(headers, b"origin")
        if not values:
            return not OTHER_SITES.intersection(_values(headers, b"sec-fetch-site"))
        return len(values) == 1 and (values[0] in self.origins or self._is_own(values[0], host.lower(), scheme))

    def _is_own(self, origin: str, host: str, scheme: str) -> bool:
        prefix, _, place = origin.partition("://")
        theirs, ours = (_authority(text, DEFAULT_PORTS.get(scheme, 0)) for text in (place, host))
        if prefix != scheme or theirs is None or ours is None:
            return False
        aliases = theirs[0] in LOOPBACK and ours[0] in LOOPBACK and theirs[1] == ours[1] == self._port
        return theirs == ours or aliases


def _origin(text: str) -> str:
    """An origin as browsers write it. Raises ValueError for anything else, and for what stands for all of them."""
    scheme, _, place = text.strip().lower().rstrip("/").partition("://")
    authority = _authority(place, DEFAULT_PORTS.get(scheme, 0))
    if authority is None or scheme not in DEFAULT_PORTS:
        raise ValueError(f"{text!r} is no origin: write it as https://chat.example.org, with a port if it has one")
    name, port = authority
    return f"{scheme}://{name}" if port == DEFAULT_PORTS[scheme] else f"{scheme}://{name}:{port}"


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]


def _authority(text: str, default_port: int = 0) -> tuple[str, int] | None:
    """`name:port` taken apart, or None when it is anything else."""
    match = AUTHORITY.fullmatch(text)
    return (match["name"], int(match["port"] or default_port)) if match else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
