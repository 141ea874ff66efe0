"""The gate's decision, over whatever a request may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.access.gate import Denied, Gate
from server.caller import Caller
from server.origins import OriginPolicy
from tests.server.access.keys_for_tests import add_key, id_of
from tests.server.doubles import ManualClock

NAMES = [b"authorization", b"x-api-key", b"cookie", b"origin", b"host", b"sec-fetch-site"]
BEGINNINGS = [b"", b"Bearer ", b"Bearer sb-", b"switchboard_login=", b"sb-0123456789ab-", b"sb-0123456789ab.0" * 16]


@pytest.fixture(scope="module")
def key_and_gate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Gate]:
    path: Path = tmp_path_factory.mktemp("gate") / "keys.json"
    key = add_key(path, "Ann", admin=True)
    return key, Gate(path, OriginPolicy("127.0.0.1", 8000), ManualClock())


def scope(kind: str, headers: list[tuple[bytes, bytes]], query: bytes = b"") -> dict[str, object]:
    return {
        "type": kind,
        "method": "POST",
        "path": "/api/me",
        "scheme": "ws" if kind == "websocket" else "http",
        "headers": headers,
        "query_string": query,
        "client": ("2001:db8::7", 4711),
    }


values = st.builds(lambda beginning, rest: beginning + rest, st.sampled_from(BEGINNINGS), st.binary(max_size=80))
headers = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=5)
queries = st.builds(
    lambda beginning, rest: beginning + rest, st.sampled_from([b"", b"ticket=", b"key=sb-"]), st.binary()
)


@settings(deadline=None)
@given(kind=st.sampled_from(["http", "websocket"]), headers=headers, query=queries)
def test_whatever_is_shown_is_refused_and_nothing_fails(
    key_and_gate: tuple[str, Gate], kind: str, headers: list[tuple[bytes, bytes]], query: bytes
):
    found = key_and_gate[1].admit(scope(kind, headers, query))
    assert isinstance(found, Denied)
    assert found.status in (401, 429)


def test_who_is_let_in_is_known_by_the_key_and_the_network_they_come_from(key_and_gate: tuple[str, Gate]):
    key, gate = key_and_gate
    assert gate.admit(scope("http", [(b"x-api-key", key.encode())])) == Caller(
        owner=id_of(key), client="2001:db8::/64", key_id=id_of(key), admin=True
    )
