"""Who makes a request: whose conversations they see, and who is counted when there are too many.

Knows nothing of keys or cookies: whoever checks those says here what came of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from server.admission import client_of
from server.history.records import LOCAL


@dataclass(slots=True, frozen=True)
class Caller:
    """`owner` is whom conversations belong to, `client` the address that work is counted by.

    `key_id` names the key that let them in; None where none was needed. `login`: the log-in, if a page's cookie did it.
    `admin`: whether they may change what is everybody's.
    """

    owner: str = LOCAL
    client: str = ""
    key_id: str | None = None
    login: str | None = None
    admin: bool = True


def caller_of(scope: Scope) -> Caller:
    """Who made the request of that scope; where nobody had to say so, the one local owner."""
    caller: Caller | None = scope.get("state", {}).get("caller")
    if caller is not None:
        return caller
    return Caller(client=client_in(scope))


def client_in(scope: Scope) -> str:
    """The client that made the request of that scope: its address, of an IPv6 one the network, or nothing."""
    client = scope.get("client")
    return client_of(client[0]) if client else ""
