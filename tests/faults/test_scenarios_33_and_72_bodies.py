"""Bodies that mean nothing, at every address that takes one: an answer with a sentence, and none with our secrets."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import create_app
from config import Settings
from tests.application import application

DOCUMENT = create_app(Settings(BACKENDS=["echo"], DATABASE_URL="off")).openapi()
ADDRESSES = [
    (method.upper(), path.replace("{session_id}", "0" * 32))
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
]
FIELDS = sorted(
    {name for schema in DOCUMENT["components"]["schemas"].values() for name in schema.get("properties", ())}
)

NONSENSE: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n ",
    "half an object": b'{"prompt": "x"',
    "half a string": b'{"prompt": "x',
    "an array": b"[]",
    "null": b"null",
    "a number": b"7",
    "a string": b'"x"',
    "two objects": b"{}{}",
    "NaN": b'{"prompt":"x","message":"x","temperature":NaN}',
    "infinity": b'{"prompt":"x","params":{"temperature":1e400}}',
    "a huge number": b'{"prompt":"x","max_tokens":' + b"9" * 5_000 + b"}",
    "the same name twice": b'{"prompt":7,"prompt":8,"message":7,"message":8}',
    "a long name": b'{"' + b"k" * 60_000 + b'":1}',
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "deep inside": b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "no UTF-8": b'{"prompt":"\xff\xfe","message":"\xc3"}',
    "half a surrogate": b'{"prompt":7,"message":"\\ud800","messages":[{"role":"user","content":"\\udfff"}]}',
    "UTF-16": '{"prompt":"x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"prompt":"x"}',
    "zero bytes": b"\0" * 100,
    "packed": gzip.compress(b'{"prompt":"x"}'),
    "many fields of a form": b"a=1&" * 10_000,
    "a form of no UTF-8": b"session_id=%ff&message=%c3%28",
}
MEANT = {("/api/import", "an array"), ("/api/import", "half a surrogate")}  # are conversations to be imported
TYPES = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", 'a/b; c="d']
PRIVATE = re.compile(r"Traceback|\.py\b|/work|/tmp|/home|/usr|site-packages|File \"|sqlite|127\.0\.0\.1", re.IGNORECASE)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("bodies")
    with (
        application(database_url=f"sqlite:///{folder / 'history.db'}", rate_limit="off") as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def post(client: httpx.Client, method: str, path: str, body: bytes, kind: str = "") -> httpx.Response:
    """The answer, which is one that any body may get: there is none of which the server is to blame."""
    answer = client.request(method, path, content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code < 500 or answer.status_code in (503, 504), answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        told = error["message"] if isinstance(error, dict) else error
        assert 0 < len(told) < 500
        assert not PRIVATE.search(answer.text.replace(path, "")), answer.text
    return answer


@pytest.mark.parametrize(("method", "path"), ADDRESSES, ids=[" ".join(address) for address in ADDRESSES])
def test_33_a_body_that_means_nothing_is_refused_with_a_sentence(client: httpx.Client, method: str, path: str) -> None:
    for (name, body), kind in zip(NONSENSE.items(), cycle(TYPES), strict=False):
        answer = post(client, method, path, body, kind)
        if (path, name) not in MEANT:
            assert 400 <= answer.status_code < 500, f"{name} as {kind}: {answer.text}"
    assert client.get("/health/live").is_success


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.binary(max_size=60) | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5).map(
    lambda fields: json.dumps(fields).encode("utf-8", "surrogatepass")
)


@settings(max_examples=60, deadline=None)
@given(address=st.sampled_from(ADDRESSES), body=BODIES, kind=st.sampled_from(TYPES))
def test_33_no_body_at_all_is_the_servers_fault(
    client: httpx.Client, address: tuple[str, str], body: bytes, kind: str
) -> None:
    post(client, *address, body, kind)


def test_72_what_is_refused_says_nothing_of_the_server(client: httpx.Client) -> None:
    refused = [
        client.get("/nowhere"),
        client.get("/static/nowhere.js"),
        client.put("/generate"),
        client.get("/api/sessions/" + "0" * 32),
        client.get("/api/sessions?before=nonsense"),
        client.get("/api/stream/..%2Fx"),
        client.get("/api/stream/x?format=xml"),
        client.get("/v1/models/nobody"),
        client.delete("/v1/requests/nobody"),
        client.post("/api/models/load", json={"model": "../../etc/passwd"}),
        client.post("/generate", json={"prompt": "x", "model": "http://169.254.169.254/"}),
        client.post("/generate", json={"prompt": "x"}, headers={"origin": "https://evil.example"}),
        client.get("/", headers={"host": "evil.example"}),
    ]
    for answer in refused:
        assert 400 <= answer.status_code < 500, answer.url
        assert not PRIVATE.search(answer.text), answer.text
