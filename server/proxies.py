"""Who really asks, when a reverse proxy passes requests on: `TRUSTED_PROXIES` names those whose word is taken.

A proxy appends the address it was spoken to from, so of the hops in `X-Forwarded-For` or `Forwarded` the right-most
one that is no trusted proxy is the client; whatever stands further left is that client's own invention. What a stranger
sends is never believed. Knows nothing of limits: it only puts the client's address and scheme where a connection's own
would be, for the log, the limits and the origins to see.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from server.admission import is_this_machine, parse_address

Headers = Iterable[tuple[bytes, bytes]]

WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::\w+)?|(?P<v4>[\d.]+):\w+", re.ASCII)
PAIR = re.compile(r'\s*(?P<name>[\w!#$%&\'*+.^`|~-]+)=(?:"(?P<quoted>[^"\\]*)"|(?P<token>[^\s;,"]*))\s*(?P<end>[;,]|$)')
SCHEMES = {"http": {"http": "http", "websocket": "ws"}, "https": {"http": "https", "websocket": "wss"}}

log = structlog.get_logger()


@dataclass(slots=True, frozen=True)
class Hop:
    """One step of a request's way, as a proxy tells it: from where it came, and over which scheme, if that is told."""

    address: str
    scheme: str = ""


class TrustedProxies:
    """The addresses and networks whose word on where a request came from is taken. Raises ValueError for no such."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(text, strict=False) for text in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, headers: Headers) -> Hop:
        """Who asked `peer`, a trusted proxy, to pass this on; `peer` itself where it does not say so clearly."""
        headers = list(headers)
        listed = self._first_stranger(peer, listed_hops(values(headers, b"x-forwarded-for")))
        told = self._first_stranger(peer, forwarded_hops(values(headers, b"forwarded")))
        if listed is not None and told is not None and listed.address != told.address:
            return Hop(peer)  # the proxy writes one of the headers, and lets the client write the other
        scheme = ", ".join(values(headers, b"x-forwarded-proto")).rpartition(",")[2].strip().lower()
        client = listed or told or Hop(peer)
        return Hop(client.address, scheme or (told.scheme if told else ""))

    def _first_stranger(self, peer: str, hops: Sequence[Hop | None]) -> Hop | None:
        """The right-most hop that is no trusted proxy; None when there are no hops. One that is None cannot be read."""
        nearest = None if not hops else Hop(peer)
        for hop in reversed(hops):
            if hop is None:
                break
            nearest = hop
            if hop.address not in self:
                break
        return nearest


class Proxies:
    """Puts a request's own client and scheme into its scope, in place of those of the trusted proxy that it came by.

    `scope["state"]["proxied"]` says that it came by one. To stand before everything that looks at clients.
    """

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self.app = app
        self.trusted = trusted
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            peer = scope["client"][0] if scope.get("client") else ""
            if peer in self.trusted:
                scope = self._seen_through(scope, peer)
            elif not self._warned:
                self._warn_of_a_stranger(scope, peer)
        await self.app(scope, receive, send)

    def _seen_through(self, scope: Scope, peer: str) -> Scope:
        headers = [header for header in scope["headers"] if b"forwarded" in header[0]]
        if not headers:
            return scope
        client = self.trusted.client(peer, headers)
        scheme = SCHEMES.get(client.scheme, {}).get(scope["type"], scope["scheme"])
        state = {**scope.get("state", {}), "proxied": True}
        return {**scope, "client": (client.address, 0), "scheme": scheme, "state": state}

    def _warn_of_a_stranger(self, scope: Scope, peer: str) -> None:
        """A proxy on this machine that nobody trusts makes everybody look like this machine, which has no limits."""
        if is_this_machine(peer) and values(scope["headers"], b"x-forwarded-for"):
            self._warned = True
            log.warning(f"A proxy at {peer} passes requests on, and TRUSTED_PROXIES does not name it: all count as it.")


def listed_hops(lines: Iterable[str]) -> list[Hop | None]:
    """The hops of `X-Forwarded-For`, the nearest one last."""
    return [hop_at(text) for line in lines for text in line.split(",")]


def forwarded_hops(lines: Iterable[str]) -> list[Hop | None]:
    """The hops of `Forwarded` (RFC 7239), the nearest one last."""
    return [hop for line in lines for hop in _elements(line)]


def _elements(line: str) -> Iterator[Hop | None]:
    """One hop an element; None for the whole of a line that breaks the grammar, since a quote could hide the rest."""
    found: list[Hop | None] = []
    element: dict[str, str] = {}
    at = 0
    while at < len(line):
        pair = PAIR.match(line, at)
        if pair is None:
            return iter([None])
        element[pair["name"].lower()] = pair["token"] if pair["quoted"] is None else pair["quoted"]
        at = pair.end()
        if pair["end"] != ";":
            found.append(hop_at(element.get("for", ""), element.get("proto", "").lower()))
            element = {}
    return iter([None] if element else found)


def hop_at(text: str, scheme: str = "") -> Hop | None:
    """The hop that `text` names, with or without a port; None where that is no address, such as `unknown`."""
    text = text.strip()
    match = WITH_PORT.fullmatch(text)
    parsed = parse_address((match["v6"] or match["v4"] or "") if match else text)
    return Hop(str(parsed), scheme) if parsed is not None else None


def values(headers: Headers, name: bytes) -> list[str]:
    """What stands in every header of that name, in order."""
    return [value.decode("latin-1") for key, value in headers if key == name]
