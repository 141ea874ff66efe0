from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.typing import Origin

from server.proxies import Hop, Proxies, TrustedProxies, hop_at

TRUSTED = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"])
PROXY = "127.0.0.1"


def listed(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", line.encode()) for line in lines]


def forwarded(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"forwarded", line.encode()) for line in lines]


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7, 10.0.0.2, 10.9.9.9"], "203.0.113.7"),
        (["1.1.1.1", "203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7:61000"], "203.0.113.7"),
        (["[2001:db8:2::5]:61000"], "2001:db8:2::5"),
        (["2001:db8:2::5, 2001:db8:1::9"], "2001:db8:2::5"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
    ],
)
def test_the_right_most_hop_that_is_no_trusted_proxy_is_the_client(lines: list[str], client: str):
    assert TRUSTED.client(PROXY, listed(*lines)) == Hop(client)


@pytest.mark.parametrize("lines", [["203.0.113.7, unknown"], ["_hidden"], [""], ["203.0.113.7,"], ["1.2.3"], ["[::1"]])
def test_where_the_nearest_hop_is_no_address_the_proxy_itself_counts(lines: list[str]):
    assert TRUSTED.client(PROXY, listed(*lines)) == Hop(PROXY)


@pytest.mark.parametrize(
    ("lines", "hop"),
    [
        (["for=203.0.113.7"], Hop("203.0.113.7")),
        (["For=203.0.113.7;Proto=HTTPS;by=10.0.0.1"], Hop("203.0.113.7", "https")),
        (['for="[2001:db8:2::5]:4711";proto=https'], Hop("2001:db8:2::5", "https")),
        (["for=1.1.1.1;proto=http, for=203.0.113.7;proto=https, for=10.0.0.2"], Hop("203.0.113.7", "https")),
        (["for=1.1.1.1", "for=203.0.113.7 ; proto=http"], Hop("203.0.113.7", "http")),
        (["for=unknown"], Hop(PROXY)),
    ],
)
def test_the_standard_header_is_understood(lines: list[str], hop: Hop):
    assert TRUSTED.client(PROXY, forwarded(*lines)) == hop


@pytest.mark.parametrize("begun", ['for="', 'for=1.1.1.1;x="', 'for="1.1.1.1', "for=1.1.1.1;", "for", 'for="\\'])
@pytest.mark.parametrize("appended", [", for=203.0.113.7", ', for="[2001:db8:2::5]:80"'])
def test_an_open_quote_of_the_clients_does_not_swallow_what_the_proxy_appends(begun: str, appended: str):
    assert TRUSTED.client(PROXY, forwarded(begun + appended)).address not in {"1.1.1.1"}
    assert TRUSTED.client(PROXY, forwarded(begun + appended)) == Hop(PROXY)


def test_two_headers_that_disagree_are_both_disbelieved():
    """The proxy writes one of them, and lets through what the client says in the other."""
    assert TRUSTED.client(PROXY, [*listed("203.0.113.7"), *forwarded("for=1.1.1.1;proto=https")]) == Hop(PROXY)
    assert TRUSTED.client(PROXY, [*listed("203.0.113.7"), *forwarded("for=203.0.113.7")]) == Hop("203.0.113.7")


@pytest.mark.parametrize("text", ["", "a", "1.2.3.4.5", "1.2.3.4:", "[::1", "::1]", "1.2.3.4:5:6", "0x7f.1", "\udcff"])
def test_what_is_no_address_is_no_hop(text: str):
    assert hop_at(text) is None


@pytest.mark.parametrize("text", ["proxy.example.org", "10.0.0.0/33", "*", "10.0.0"])
def test_what_is_no_address_and_no_network_cannot_be_trusted(text: str):
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies([text])


def test_an_ipv4_proxy_is_known_when_it_comes_over_a_socket_for_both():
    assert "::ffff:10.1.2.3" in TRUSTED
    assert "::ffff:11.1.2.3" not in TRUSTED


# The middleware


def seen(peer: str | None, headers: list[tuple[bytes, bytes]], kind: str = "http", **more: object) -> Scope:
    """The scope as the application gets it."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    async def nothing() -> Message:
        raise AssertionError("nobody asks")

    async def nowhere(message: Message) -> None:
        raise AssertionError("nobody answers")

    scheme = "ws" if kind == "websocket" else "http"
    client = (peer, 5000) if peer is not None else None
    scope = {"type": kind, "client": client, "scheme": scheme, "headers": headers, "path": "/", **more}
    asyncio.run(Proxies(app, TRUSTED)(scope, nothing, nowhere))
    return scopes[0]


def test_the_client_of_a_trusted_proxy_takes_its_place():
    scope = seen(PROXY, [*listed("203.0.113.7"), (b"x-forwarded-proto", b"https")], state={"request_id": "r"})
    assert scope["client"] == ("203.0.113.7", 0)
    assert scope["scheme"] == "https"
    assert scope["state"] == {"request_id": "r", "proxied": True}


def test_a_websocket_over_tls_is_one():
    assert seen(PROXY, [*listed("203.0.113.7"), (b"x-forwarded-proto", b"https")], "websocket")["scheme"] == "wss"


@pytest.mark.parametrize("scheme", [b"", b"javascript", b"https, http", b"ftp"])
def test_a_scheme_that_is_none_of_ours_changes_nothing(scheme: bytes):
    assert seen(PROXY, [*listed("203.0.113.7"), (b"x-forwarded-proto", scheme)])["scheme"] == "http"


@pytest.mark.parametrize("peer", ["203.0.113.9", "192.168.0.1", "::1", "", None])
def test_a_stranger_is_not_believed(peer: str | None):
    scope = seen(peer, [*listed("1.1.1.1"), *forwarded("for=1.1.1.1"), (b"x-forwarded-proto", b"https")])
    assert scope["client"] == ((peer, 5000) if peer is not None else None)
    assert scope["scheme"] == "http"
    assert "proxied" not in scope.get("state", {})


def test_a_proxy_that_forwards_nothing_is_a_client_like_others():
    scope = seen(PROXY, [])
    assert scope["client"] == (PROXY, 5000)
    assert "proxied" not in scope.get("state", {})


def test_a_proxy_on_this_machine_that_nobody_trusts_is_told_of_once():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Takes what comes."""

    async def never() -> Message:
        raise AssertionError("nobody asks")

    async def nowhere(message: Message) -> None:
        """Nobody listens."""

    proxies = Proxies(app, TrustedProxies())
    with capture_logs() as lines:
        for _ in range(3):
            scope = {"type": "http", "client": (PROXY, 1), "headers": listed("203.0.113.7"), "scheme": "http"}
            asyncio.run(proxies(scope, never, nowhere))
    assert [line["log_level"] for line in lines] == ["warning"]
    assert "TRUSTED_PROXIES" in lines[0]["event"]


# The whole application


def test_a_page_that_came_over_tls_by_a_trusted_proxy_is_our_own(serve: Callable[..., str]):
    at = {"host": "chat.example", "origin": "https://chat.example", "x-forwarded-proto": "https"}

    def status(address: str) -> int:
        asked = {"prompt": "Hi", "max_tokens": 1}
        return httpx.post(f"{address}/v1/completions", json=asked, headers=at).status_code

    assert status(serve(trusted_proxies=PROXY, allowed_hosts="chat.example")) == 200
    assert status(serve(allowed_hosts="chat.example")) == 403, "of a stranger's word the server takes no scheme"


def test_its_websocket_is_too_and_the_log_names_the_client(serve: Callable[..., str]):
    async def scenario(address: str) -> None:
        headers = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.7"}
        url = address.replace("http", "ws") + "/ws"
        async with connect(url, origin=Origin(address.replace("http", "https")), additional_headers=headers) as socket:
            assert "system" in str(await socket.recv())

    with capture_logs() as lines:
        asyncio.run(scenario(serve(trusted_proxies=PROXY)))
    assert [line["client"] for line in lines if line["event"] == "socket opened"] == ["203.0.113.7"]
