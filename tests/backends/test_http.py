import asyncio
from collections.abc import Callable

import httpx
import pytest

from backends.base import BackendError, BackendFailed, BackendTimeout, BackendUnreachable
from backends.http import StatusError, Upstream, base_url
from tests.backends.double import Act, Reply, ServerDouble

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("ollama", "http://ollama:11434"),
        ("ollama:11434", "http://ollama:11434"),
        (" 127.0.0.1 ", "http://127.0.0.1:11434"),
        ("http://ollama:11434/", "http://ollama:11434"),
        ("http://ollama", "http://ollama"),
        ("https://ollama.example/", "https://ollama.example"),
        ("https://gate.example/ollama/", "https://gate.example/ollama"),
        ("http://me:secret@ollama:80", "http://me:secret@ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("[::]:1234", "http://[::1]:1234"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("ollama:11434?x=1#y", "http://ollama:11434"),
    ],
)
def test_an_address_may_be_written_in_many_ways(address: str, url: str) -> None:
    assert base_url(address, 11434) == url


@pytest.mark.parametrize("address", ["", "http://", "ftp://ollama", "ollama:port", "http://ollama:99999999", "a b\n"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        base_url(address, 11434)


def upstream(handler: Handler) -> Upstream:
    return Upstream("http://there", name="Ollama", hint="Start it.", transport=httpx.MockTransport(handler))


def fetch(handler: Handler) -> object:
    async def main() -> object:
        server = upstream(handler)
        try:
            return await server.fetch("GET", "/api/tags", timeout=0.2)
        finally:
            await server.close()

    return asyncio.run(main())


def raising(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


def test_the_answer_is_read_as_json() -> None:
    assert fetch(lambda request: httpx.Response(200, json={"models": []})) == {"models": []}


def test_a_path_of_the_address_comes_before_the_calls_path() -> None:
    async def main() -> str:
        asked: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return httpx.Response(200, json={})

        server = Upstream("http://gate/ollama", name="", hint="", transport=httpx.MockTransport(handler))
        await server.fetch("GET", "/api/tags", timeout=1)
        await server.close()
        return str(asked[0].url)

    assert asyncio.run(main()) == "http://gate/ollama/api/tags"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), BackendUnreachable),
        (httpx.ConnectTimeout("nobody"), BackendUnreachable),
        (httpx.ReadError("reset"), BackendFailed),
        (httpx.RemoteProtocolError("closed"), BackendFailed),
        (httpx.DecodingError("not gzip"), BackendFailed),
    ],
)
def test_failures_of_the_connection_are_errors_of_the_tree(error: Exception, kind: type[BackendError]) -> None:
    with pytest.raises(BackendError) as caught:
        fetch(raising(error))
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error


def test_nobody_there_is_told_with_what_to_do() -> None:
    with pytest.raises(BackendUnreachable, match=r"^Start it\.$"):
        fetch(raising(httpx.ConnectError("refused")))


def test_an_answer_that_takes_too_long_is_a_timeout() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(BackendTimeout, match=r"did not answer within 0\.2 seconds"):
        fetch(handler)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no such model"}', "no such model"),
        (b'{"error": {"message": "no such model", "type": "x"}}', "no such model"),
        (b'{"error": 5}', ""),
        (b"[]", ""),
        (b"<h1>Not Found</h1>", ""),
        (b"", ""),
        (b'{"error": "' + b"x" * 100_000 + b'"}', ""),
    ],
)
def test_a_refusal_carries_the_servers_words(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        fetch(lambda request: httpx.Response(404, content=body, headers={"retry-after": "7"}))
    assert (caught.value.status, caught.value.text, caught.value.retry_after) == (404, text, 7)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_a_failure(body: bytes) -> None:
    with pytest.raises(BackendFailed, match="cannot be read"):
        fetch(lambda request: httpx.Response(200, content=body))


def test_a_server_in_trouble_is_not_alive() -> None:
    async def main(status: int) -> None:
        server = upstream(lambda request: httpx.Response(status))
        try:
            await server.alive()
        finally:
            await server.close()

    asyncio.run(main(200))
    asyncio.run(main(404))
    with pytest.raises(BackendFailed, match="503"):
        asyncio.run(main(503))


GOOD = Reply(200, "application/json", [b"{}"])


def fetched_from(*replies: Reply) -> tuple[list[object], int]:
    """What as many fetches give as there are replies but for those that break off, and over how many connections."""

    async def main() -> tuple[list[object], int]:
        async with ServerDouble() as double:
            double.will("/", *replies)
            server = Upstream(double.url, name="Ollama", hint="")
            try:
                answers = [await server.fetch("GET", "/", timeout=5) for reply in replies if reply is GOOD]
            finally:
                await server.close()
            return answers, double.connections

    return asyncio.run(main())


@pytest.mark.parametrize("how", [Act.CUT, Act.RESET])
def test_a_kept_connection_that_is_closed_when_it_is_used_again_is_no_failure(how: Act) -> None:
    """The server may have given it up just before."""
    assert fetched_from(GOOD, Reply(steps=[how]), GOOD) == ([{}, {}], 2)


def test_a_server_that_breaks_a_new_connection_is_asked_once() -> None:
    with pytest.raises(BackendFailed, match="broke"):
        fetched_from(Reply(steps=[Act.CUT]), GOOD)
