"""Who gets past the gate of the whole application, and what those who do not are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from starlette.testclient import WebSocketDenialResponse

from server.access.failures import ALLOWED
from server.access.gate import WRONG_KEY
from server.access.tokens import Token
from tests.server.access.guarded_server import Guarded, guarded_server
from tests.server.access.keys_for_tests import add_key, remove_key

CLOSED = ["/api/models", "/api/sessions", "/api/me", "/v1/models", "/openapi.json", "/metrics", "/nowhere", "/static"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded_server(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded_server(tmp_path) as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/static/script.js", "/health", "/health/live", "/health/ready"])
def test_the_page_and_the_probes_are_open_to_everybody(server: Guarded, path: str):
    assert server.client.get(path).status_code in (200, 503)


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_asks_for_a_key(server: Guarded, path: str):
    refused = server.client.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Bearer realm="Switchboard"'
    assert "content-security-policy" in refused.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_as_a_bearer_and_as_an_api_key(server: Guarded, scheme: str):
    for headers in ({"authorization": f"{scheme} {server.bob}"}, {"x-api-key": server.bob}):
        assert server.client.get("/api/me", headers=headers).json()["name"] == "Bob"
    both = {"authorization": f"Bearer {server.bob}", "x-api-key": server.bob}
    assert server.client.get("/api/me", headers=both).status_code == 200


def test_two_different_keys_are_refused_even_if_both_are_good(server: Guarded):
    headers = {"authorization": f"Bearer {server.ann}", "x-api-key": server.bob}
    refused = server.client.get("/api/me", headers=headers)
    assert refused.status_code == 401
    assert "two different keys" in refused.json()["error"]


def test_a_key_in_the_address_opens_nothing_and_is_told_where_it_belongs(server: Guarded):
    refused = server.client.get("/api/me", params={"key": server.ann})
    assert refused.status_code == 401
    assert "does not belong in an address" in refused.json()["error"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/models", {"success": False, "error": WRONG_KEY}),
        ("/api/tags", {"error": WRONG_KEY}),
        (
            "/v1/models",
            {
                "error": {
                    "message": WRONG_KEY,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "invalid_api_key",
                }
            },
        ),
    ],
)
def test_a_refusal_has_the_form_of_its_api(server: Guarded, path: str, form: dict[str, object]):
    assert server.client.get(path, headers=server.bearer(str(Token.new()))).json() == form


def test_wrong_keys_are_told_to_the_log_once_in_a_while(tmp_path: Path):
    with guarded_server(tmp_path) as server, structlog.testing.capture_logs() as lines:
        for _ in range(5):
            server.client.get("/api/me", headers=server.bearer(str(Token.new())))
    told = [line for line in lines if line["event"] == "a wrong key was shown"]
    assert [(line["log_level"], line["client"]) for line in told] == [("warning", "testclient")]


def test_a_wrong_key_is_said_to_be_wrong(server: Guarded):
    refused = server.client.get("/api/me", headers=server.bearer("sk-of-another-server"))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].endswith('error="invalid_token"')


def test_other_schemes_and_empty_keys_are_no_keys(server: Guarded):
    for value in ("Basic YW5uOnNlc2FtZQ==", "Bearer", "Bearer ", ""):
        refused = server.client.get("/api/me", headers={"authorization": value})
        assert refused.status_code == 401
        assert "asks for a key" in refused.json()["error"], value


def test_a_socket_is_refused_before_it_is_accepted(server: Guarded):
    for headers in ({}, server.bearer(str(Token.new())), {"x-api-key": "sk-1"}):
        with pytest.raises(WebSocketDenialResponse) as refused, server.socket(headers):
            pass
        assert refused.value.status_code == 401
        assert "www-authenticate" in refused.value.headers


def test_a_socket_opens_with_a_key_in_either_header(server: Guarded):
    for headers in (server.bearer(server.ann), {"x-api-key": server.ann}):
        with server.socket(headers) as socket:
            assert socket.receive_json()["type"] == "system"


def test_keys_come_and_go_while_the_server_runs(own_server: Guarded):
    new = add_key(own_server.keys, "New")
    assert own_server.client.get("/api/me", headers=own_server.bearer(new)).json()["name"] == "New"
    remove_key(own_server.keys, new)
    assert own_server.client.get("/api/me", headers=own_server.bearer(new)).status_code == 401


def test_many_wrong_keys_make_their_sender_wait_and_nobody_with_a_right_one(own_server: Guarded):
    wrong = own_server.bearer(str(Token.new()))
    statuses = [own_server.client.get("/api/me", headers=wrong).status_code for _ in range(ALLOWED + 1)]
    assert statuses == [401] * ALLOWED + [429]
    refused = own_server.client.post("/v1/completions", headers=wrong)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "message" in refused.json()["error"]
    assert own_server.client.post("/api/login", json={"key": "sb-wrong"}).status_code == 429
    assert own_server.client.get("/api/me", headers=own_server.bearer(own_server.ann)).status_code == 200
    assert own_server.client.get("/api/me").status_code == 401, "to show nothing is no failure"


def test_models_are_fetched_and_removed_by_administrators(server: Guarded):
    refused = server.client.post("/api/pull", headers=server.bearer(server.bob), json={"model": "x"})
    assert refused.status_code == 403
    assert "administrator" in refused.json()["error"]
    assert server.client.post("/api/pull", headers=server.bearer(server.ann), json={}).status_code not in (401, 403)


def test_to_load_what_is_not_listed_would_be_to_fetch_it(server: Guarded):
    for model, status in (("echo/echo", 200), ("gemma:2b", 404)):
        answer = server.client.post("/api/models/load", headers=server.bearer(server.bob), json={"model": model})
        assert answer.status_code == status, answer.text


def test_where_no_key_is_asked_for_any_key_is_as_good_as_none(tmp_path: Path):
    with guarded_server(tmp_path, AUTH="auto") as open_server:
        for headers in ({}, {"authorization": "Bearer sk-none"}, {"x-api-key": "a", "authorization": "Bearer b"}):
            answer = open_server.client.get("/api/me", headers=headers)
            assert answer.json() == {"authentication": False, "admin": True}
        assert open_server.client.post("/api/login", json={"key": open_server.ann}).status_code == 404


def test_a_foreign_page_is_refused_whatever_it_shows(server: Guarded):
    headers = {**server.bearer(server.ann), "origin": "https://evil.example"}
    assert server.client.post("/api/models/load", headers=headers, json={"model": "echo"}).status_code == 403
    with pytest.raises(WebSocketDenialResponse) as refused, server.socket(headers):
        pass
    assert refused.value.status_code == 403
