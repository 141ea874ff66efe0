"""Calls to an OpenAI-compatible server: where it is, who we are, and events. Knows nothing of what the events say."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.calls import Calls
from backends.event_stream import EventReader
from backends.http import Upstream, base_url
from backends.ndjson import LineReader

if TYPE_CHECKING:
    import httpx

NAME = "the model server"
DEFAULT_PORT = 8000  # vLLM's; others have others
_HINT = "Nothing answers at OPENAI_HOST. Start the model server there, or mend the address in .env."


class OpenAIClient(Calls):
    """The server at `host`, an address whose path, where it names none, is `/v1`.

    `key` goes with every request, and nowhere else. Raises ValueError for what is no address, and for what is no key.
    """

    def __init__(
        self,
        host: str,
        key: str = "",
        *,
        connect_timeout: float,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address = api_url(host)
        upstream = Upstream(
            address,
            name=NAME,
            hint=_HINT,
            connect_timeout=connect_timeout,
            headers={**_authorization(key), **(headers or {})},
            transport=transport,
        )
        # A server that answers at once, stream or not, sends one object; so do some that fail.
        super().__init__(upstream, NAME, {"event-stream": EventReader, "json": LineReader})
        self.elsewhere = is_elsewhere(address)


def api_url(host: str) -> str:
    """Where the API is: `http://host:8000/v1` for `host`. Raises ValueError."""
    try:
        address = base_url(host, DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"OPENAI_HOST={error}") from error
    return address if urlsplit(address).path else f"{address}/v1"


def is_elsewhere(address: str) -> bool:
    """Whether what is sent there leaves the house: neither this machine nor its network, as far as names tell."""
    name = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return "." in name and not name.endswith((".local", ".lan", ".internal", ".localhost", ".home.arpa"))


def _authorization(key: str) -> dict[str, str]:
    if not key:
        return {}
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("OPENAI_API_KEY holds a character that no key has. Copy it again.")
    return {"Authorization": f"Bearer {key}"}
