"""Every answer, whoever made it, tells the browser what it may do with it; the browser tests see the page work so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from server.security import SECURITY_HEADERS
from tests.server.raw_client import exchange

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "base-uri": "'none'",
    "object-src": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
OTHERS = ("/", "/static/style.css", "/static/nowhere", "/static/../app.py", "/nowhere", "//", "/ws", "/openapi.json")
JSON = {"content-type": "application/json"}
NO_REQUEST = {
    "a header that is none": b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "a long address": b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 9000),
    "TLS": b"\x16\x03\x01\r\n\r\n",
}


def is_guarded(headers: httpx.Headers) -> bool:
    return all(headers.get_list(name) == [value] for name, value in SECURITY_HEADERS.items())


def answers(client: httpx.Client, path: str) -> Iterator[tuple[str, httpx.Response]]:
    """How each kind of request to `path` is answered, good or bad; of a stream only the head is read."""
    calls = (
        ("GET", b"", {}),
        ("OPTIONS", b"", {}),
        ("BREW", b"", {}),
        ("POST", b"{", {}),
        ("POST", b'{"prompt":"Hi","model":"echo","messages":[{"role":"user","content":"Hi"}]}', JSON),
        ("POST", b"x" * 3000, {}),
        ("POST", b"", {"origin": "https://evil.example"}),
        ("GET", b"", {"host": "evil.example"}),
    )
    for method, content, headers in calls:
        with client.stream(method, path, content=content, headers=headers) as answer:
            yield method, answer


def test_68_the_policy_allows_what_the_page_needs_and_no_more() -> None:
    policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["content-security-policy"].split("; "))
    assert policy.items() >= POLICY.items()
    assert "unsafe" not in str(policy)
    assert "*" not in str(policy)
    assert (
        SECURITY_HEADERS.items()
        >= {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
        }.items()
    )


def test_68_every_route_carries_the_headers_however_it_is_asked(serve: Callable[..., str]) -> None:
    address = serve(max_body_bytes=2000, rate_limit="off")
    paths = [re.sub(r"\{\w+\}", "x", path) for path in httpx.get(f"{address}/openapi.json").json()["paths"]]
    assert len(paths) > 15
    statuses = set()
    with httpx.Client(base_url=address) as client:
        for path in (*paths, *OTHERS):
            for method, answer in answers(client, path):
                assert is_guarded(answer.headers), f"{method} {path} -> {answer.status_code}"
                assert answer.headers["x-request-id"]
                statuses.add(answer.status_code)
    assert statuses >= {200, 400, 403, 404, 405, 413, 422}


@pytest.mark.parametrize("sent", NO_REQUEST.values(), ids=NO_REQUEST)
def test_68_what_never_becomes_a_request_is_refused_with_them_too(serve: Callable[..., str], sent: bytes) -> None:
    head = asyncio.run(exchange(serve(), sent)).partition(b"\r\n\r\n")[0].decode()
    headers = httpx.Headers([line.split(": ", 1) for line in head.splitlines()[1:]])
    assert is_guarded(headers)
    assert headers["x-request-id"]


def test_68_so_is_a_flood(serve: Callable[..., str]) -> None:
    address = serve(rate_limit="1/hour", rate_limit_loopback="on")
    for path in ("/generate", "/v1/completions", "/api/generate"):
        answer = httpx.post(address + path, json={"prompt": "Hi"})
    assert answer.status_code == 429
    assert is_guarded(answer.headers)
