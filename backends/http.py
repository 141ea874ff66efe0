"""HTTP to a model server: the one module of ours that imports the HTTP client.

Owns the connection: its address, how long it may take to stand, how much is read from it, and what its failures are in
our tree of errors. Knows nothing about what the server is asked for, nor what its refusals mean: a status other than
200 reaches the caller as a `StatusError`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from email.utils import parsedate_to_datetime

import httpx

from backends.base import BackendFailed, BackendTimeout, BackendUnreachable
from backends.fields import JsonObject
from backends.wording import sentence

MAX_BODY = 8 * 1024 * 1024  # bytes of an answer that is read whole
MAX_ERROR_BODY = 64 * 1024
MAX_KEPT = 8  # connections that wait for another request
HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]*:[0-9a-f:.]*(%25\w+)?", re.ASCII)  # a name, or an address


class StatusError(Exception):
    """The server answered, but not with 200. `text` is its error in words, or "" where it gave none in JSON.

    `answer` is the JSON object that it came in, an empty one for all else.
    """

    def __init__(
        self, status: int, content_type: str, text: str, retry_after: float | None, answer: JsonObject | None = None
    ) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.content_type = content_type
        self.text = text
        self.retry_after = retry_after
        self.answer = answer or {}

    @property
    def is_page(self) -> bool:
        """Whether it came as something other than JSON, as from a web server that knows no such path."""
        return bool(self.content_type) and "json" not in self.content_type


class Upstream:
    """A server at one address. `name` is what people call it, `hint` says what to do when nothing answers there.

    Redirects are not followed: nobody but the settings says who is asked, and who is shown a key.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        hint: str,
        connect_timeout: float = 3.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._hint = hint
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            transport=transport,
            trust_env=False,  # a proxy of the environment must not come between us and a server on this machine
            timeout=httpx.Timeout(None, connect=connect_timeout),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=MAX_KEPT),
        )

    async def alive(self, path: str = "/", *, timeout: float = 3.0) -> None:
        """Knock at `path`. Raises BackendUnreachable when nobody is there, BackendFailed for a server in trouble."""
        async with self._within(timeout), self._translated():
            response = await self._client.head(path)
        if response.status_code >= 500:
            trouble = f"{self._name} is in trouble: it answered with status {response.status_code}."
            raise BackendFailed(sentence(trouble))

    async def fetch(self, method: str, path: str, body: object = None, *, timeout: float) -> object:
        """The whole answer's JSON. Raises StatusError, or a BackendError."""
        content = bytearray()
        async with self._within(timeout), self.stream(method, path, body) as (_, chunks):
            async for chunk in chunks:
                content += chunk
                if len(content) > MAX_BODY:
                    raise BackendFailed(sentence(f"{self._name} sent more than can be read at once."))
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BackendFailed(sentence(f"{self._name} sent an answer that cannot be read.")) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        body: object = None,
        kinds: Sequence[str] = ("json",),
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Which of `kinds` the answer's content type is, and its bytes as they come.

        Leaving the context closes the connection unless all was read. An answer without a type is of the first kind.
        Raises StatusError, or a BackendError. Waits for the first byte as long as the caller does.
        """
        async with self._translated(), aclosing(await self._sent(method, path, body, headers)) as response:
            content_type = response.headers.get("content-type", "")
            if response.status_code != 200:
                raise await _status_error(response, content_type)
            kind = next((kind for kind in kinds if kind in content_type), "" if content_type else kinds[0])
            if not kind:
                raise BackendFailed(f"What answers at the address is not {self._name}: it sent {_kind(content_type)}.")
            yield kind, response.aiter_bytes()

    async def close(self) -> None:
        await self._client.aclose()

    async def _sent(self, method: str, path: str, body: object, headers: Mapping[str, str] | None) -> httpx.Response:
        """The answer, of which the head has come.

        A server may close a connection that it has kept just when the next request comes: then nobody has read it, and
        it goes out again. One that breaks on a new connection does not.
        """
        connected = asyncio.Event()

        async def trace(event: str, info: object) -> None:
            del info
            if event == "connection.connect_tcp.started":
                connected.set()

        for left in reversed(range(MAX_KEPT + 1)):
            request = self._client.build_request(method, path, json=body, headers=headers, extensions={"trace": trace})
            try:
                return await self._client.send(request, stream=True)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if connected.is_set() or not left:
                    raise
        raise AssertionError("The last attempt returns or raises.")

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            late = f"{self._name} did not answer within {seconds:g} seconds. Try again."
            raise BackendTimeout(sentence(late)) from error

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise BackendUnreachable(self._hint) from error
        except httpx.RequestError as error:
            message = f"The connection to {self._name} broke before the answer was complete. Try again."
            raise BackendFailed(message) from error


def base_url(address: str, default_port: int) -> str:
    """The URL behind an address as people write it: `host`, `host:port`, `[::1]`, `http://host/prefix/`.

    Without a scheme a missing port is `default_port`; with one it is the scheme's own. The address that servers listen
    on everywhere, 0.0.0.0, is dialled on this machine. Raises ValueError.
    """
    text = address.strip()
    has_scheme = "://" in text
    if not has_scheme:
        bare_ipv6 = text.count(":") > 1 and not text.startswith("[")
        text = f"http://[{text}]" if bare_ipv6 else f"http://{text}"
    url = _parse(text)
    if url is None or url.scheme not in ("http", "https") or not _names_a_host(url):
        raise ValueError(f"{address!r} is not an address: write host:port, or http://host:port.")
    if url.host in ("0.0.0.0", "::"):
        url = url.copy_with(host="127.0.0.1" if url.host == "0.0.0.0" else "::1")
    if url.port is None and not has_scheme:
        url = url.copy_with(port=default_port)
    return str(url.copy_with(raw_path=url.path.rstrip("/").encode() or b"/", fragment=None)).rstrip("/")


def _names_a_host(url: httpx.URL) -> bool:
    """Whether the host is written as hosts are, and not in a way that others might read as another one."""
    return HOST.fullmatch(url.raw_host.decode()) is not None and 0 < (url.port or 1) < 65536


def _parse(text: str) -> httpx.URL | None:
    if any(char.isspace() or char == "\\" for char in text) or "://http:/" in text or "://https:/" in text:
        return None
    try:
        return httpx.URL(text)
    except httpx.InvalidURL:
        return None


async def _status_error(response: httpx.Response, content_type: str) -> StatusError:
    answer = await _error_answer(response)
    return StatusError(response.status_code, content_type, error_text(answer), _retry_after(response.headers), answer)


async def _error_answer(response: httpx.Response) -> JsonObject:
    """The JSON object that tells the error, else an empty one."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ERROR_BODY:
            return {}
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def error_text(answer: JsonObject) -> str:
    """The error in words that an answer holds, or "".

    `{"error": "…"}`, `{"error": {"message": "…"}}`, or `message` or `detail` by themselves.
    """
    error = answer.get("error") or answer.get("message") or answer.get("detail")
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from a number of them or from a date."""
    value = headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _kind(content_type: str) -> str:
    return "a web page" if "html" in content_type else "something other than JSON"
