"""Calls to an Ollama server: where it is, and lines of JSON. Knows nothing of what the lines say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from backends.calls import Call, Calls, Record
from backends.http import Upstream, base_url
from backends.ndjson import LineReader
from backends.patience import Patience

if TYPE_CHECKING:
    import httpx

DEFAULT_PORT = 11434
NAME = "Ollama"


class OllamaClient(Calls):
    """The server at `host`; empty: the usual address on this machine. Raises ValueError for what is no address."""

    def __init__(
        self,
        host: str,
        *,
        connect_timeout: float,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        upstream = Upstream(
            _address(host),
            name=NAME,
            hint=_hint(host),
            connect_timeout=connect_timeout,
            headers=headers,
            transport=transport,
        )
        super().__init__(upstream, NAME, {"json": LineReader})

    def lines(self, call: Call, patience: Patience) -> AsyncGenerator[Record | None, None]:
        """The lines of a streamed answer, and None for each second of silence. Raises StatusError or a BackendError."""
        return self.watched(self.records(call), patience)


def _address(host: str) -> str:
    try:
        return base_url(host or "127.0.0.1", DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"OLLAMA_HOST={error}") from error


def _hint(host: str) -> str:
    if not host:
        return "Ollama does not run on this machine. Start it with `ollama serve`, or set OLLAMA_HOST in .env."
    hint = "Nothing answers at OLLAMA_HOST. Start Ollama there with `ollama serve`, or mend the address in .env."
    names_port = host.rstrip("/").rpartition(":")[2].isdigit()
    if "://" in host and not names_port:
        hint += f" The address names no port; Ollama's own is {DEFAULT_PORT}."
    return hint
