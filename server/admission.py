"""How many connections there may be: of all clients together, and of each one. Counts them, and knows no bytes.

HTTP and WebSockets count alike. A client is its address; of an IPv6 address the first half, since whoever has one
address there has 2^64 of them. This machine itself and trusted proxies are spared the limit for one client: what those
pass on is counted by request, for the client that it came from.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RETRY_AFTER_S = 5
TURNED_AWAY_AT_ONCE = 64  # connections that may be hearing why they are refused


@dataclass(slots=True, frozen=True)
class Full:
    """Why one more is refused, as HTTP says it."""

    status: int
    message: str


def is_this_machine(address: str) -> bool:
    """Whether `address` is a loopback one, or none, as that of a Unix socket."""
    parsed = parse_address(address)
    return not address or (parsed is not None and parsed.is_loopback)


class Admission:
    """The connections there are. `spared` are the addresses that the limit for one client is not for."""

    def __init__(
        self, total: int = 4096, per_client: int = 512, spared: Callable[[str], bool] = is_this_machine
    ) -> None:
        self.total = total
        self.per_client = per_client
        self.open = 0
        self.turned_away = 0  # those of the refused that are not gone yet
        self._clients: Counter[str] = Counter()
        self._spared = spared

    def refusal(self, address: str) -> Full | None:
        """Why a client at `address` may not have one more, or None."""
        if self.open >= self.total:
            return Full(503, "The server has as many connections as it can bear. Come back in a moment.")
        return None if self._spared(address) else self.crowd(address)

    def crowd(self, address: str) -> Full | None:
        """Why the client at `address` may have no more for itself, or None."""
        if self._clients[client_of(address)] >= self.per_client:
            return Full(429, "That is too many connections from one address. Close some, or come back in a moment.")
        return None

    def join(self, address: str) -> Callable[[], None]:
        """Count one more for the client at `address`, over a connection that is counted already."""
        client = client_of(address)
        self._clients[client] += 1
        return partial(self._part, client)

    def enter(self, address: str) -> Callable[[], None]:
        """Count one more. Gives what to call when it is gone."""
        self.open += 1
        return partial(self._leave, self.join(address))

    def turn_away(self) -> Callable[[], None] | None:
        """Count one that is being told why it is refused, and give what to call when it is gone; None: too many are."""
        if self.turned_away >= TURNED_AWAY_AT_ONCE:
            return None
        self.turned_away += 1
        return self._turned

    def _leave(self, part: Callable[[], None]) -> None:
        self.open -= 1
        part()

    def _part(self, client: str) -> None:
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _turned(self) -> None:
        self.turned_away -= 1


def client_of(address: str) -> str:
    """Whom an address stands for: itself, an IPv6 one for the network of its first 64 bits."""
    if ":" not in address:
        return address
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return str(parsed)


def parse_address(text: str) -> Address | None:
    """The IP address that `text` is, an IPv4 address in IPv6's clothes as itself; None when it is none."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
