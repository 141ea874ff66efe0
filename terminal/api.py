"""The server's HTTP, as far as the terminal uses it. Every failure comes out as a sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import httpx

from terminal.address import Address
from terminal.characters import one_line
from terminal.trouble import NoServer, Trouble

CONNECT_S = 5.0
ANSWER_S = 30.0
MOST_QUOTED = 500  # characters of an answer that is no JSON


class Api:
    """Requests to one server. Use it as an async context manager."""

    def __init__(self, address: Address) -> None:
        self.address = address
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        self._client = httpx.AsyncClient(base_url=address.url, headers=address.headers, timeout=timeout)

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def get(self, path: str, **query: str | int) -> Any:
        """The JSON that `path` gives. Raises Trouble."""
        async with self._request("GET", path, params=query) as response:
            return _json(await response.aread())

    async def send(self, method: str, path: str, body: object, *, patience_s: float | None = ANSWER_S) -> Any:
        """The JSON that answers `body`; None where nothing is said. Raises Trouble."""
        async with self._request(method, path, json=body, timeout=_patient(patience_s)) as response:
            content = await response.aread()
            return _json(content) if content else None

    async def lines(self, path: str, body: object) -> AsyncGenerator[bytes]:
        """The lines that answer `body`, as they come, however long that takes. Raises Trouble."""
        async with self._request("POST", path, json=body, timeout=_patient(None)) as response:
            rest = b""
            async for piece in response.aiter_bytes():
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line.removesuffix(b"\r")
            if rest:
                yield rest

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        try:
            async with self._client.stream(method, path, **options) as response:
                if response.is_error:
                    raise Trouble(refusal(response.status_code, await response.aread()))
                yield response
        except httpx.ConnectError as error:
            raise NoServer(self.address.url) from error
        except httpx.TimeoutException as error:
            raise Trouble(f"The server at {self.address.url} does not answer.") from error
        except httpx.HTTPError as error:
            raise Trouble("The connection to the server broke before the answer was whole.") from error


def refusal(status: int, content: bytes) -> str:
    """What an answer with an error status says, in whichever of the forms there are."""
    if status == 401:
        return "The server does not let you in. Give it a key with --key or SWITCHBOARD_KEY."
    try:
        said = json.loads(content)
    except ValueError:
        said = None
    return spoken(said) or f"The server refused with the status {status}."


def spoken(said: object) -> str:
    """The sentence of an error in OpenAI's form, in Ollama's or in ours; empty if there is none."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return one_line(error)[:MOST_QUOTED] if isinstance(error, str) else ""


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise Trouble("What answers there is no Switchboard: it does not speak JSON.") from error


def _patient(seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_S)
