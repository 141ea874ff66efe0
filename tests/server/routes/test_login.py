"""Logging in as the page does, and tickets for sockets that can send no header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import WebSocketDenialResponse

from tests.server.access.guarded_server import URL, Guarded, close_code, guarded_server
from tests.server.access.keys_for_tests import remove_key, secret_of

PAGE = {"origin": URL}
COOKIE = "switchboard_login"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Guarded]:
    with guarded_server(tmp_path) as server:
        yield server


def log_in(server: Guarded, key: str) -> None:
    answer = server.client.post("/api/login", json={"key": key}, headers=PAGE)
    assert answer.status_code == 200, answer.text


def test_logging_in_sets_a_cookie_that_no_script_and_no_other_site_has(server: Guarded):
    answer = server.client.post("/api/login", json={"key": f" {server.ann}\n"}, headers=PAGE)
    assert answer.json()["name"] == "Ann"
    assert secret_of(server.ann) not in answer.text + answer.headers["set-cookie"]
    attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert "secure" not in attributes
    assert server.client.get("/api/me").json()["name"] == "Ann"


def test_under_https_the_cookie_is_for_https_alone(server: Guarded):
    secure = server.client.post(URL.replace("http:", "https:") + "/api/login", json={"key": server.ann})
    assert secure.headers["set-cookie"].startswith(f"__Host-{COOKIE}=")
    assert "; secure" in secure.headers["set-cookie"].lower()


def test_a_wrong_key_is_refused_in_a_sentence_and_sets_nothing(server: Guarded):
    refused = server.client.post("/api/login", json={"key": "sb-nonsense"}, headers=PAGE)
    assert refused.status_code == 401
    assert refused.json()["error"] == "That key is not known here, or it has run out."
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("headers", [PAGE, {"sec-fetch-site": "same-origin"}])
def test_our_own_page_may_write(server: Guarded, headers: dict[str, str]):
    log_in(server, server.ann)
    assert server.client.post("/api/ws-ticket", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
    ],
)
def test_with_the_cookie_nothing_else_may_write_but_it_may_read(server: Guarded, headers: dict[str, str]):
    log_in(server, server.ann)
    assert server.client.post("/api/ws-ticket", headers=headers).status_code == 403
    assert server.client.get("/api/me", headers=headers).status_code == 200


def test_a_socket_opens_with_the_cookie_for_our_own_page_alone(server: Guarded):
    log_in(server, server.ann)
    with server.socket(PAGE) as socket:
        assert socket.receive_json()["type"] == "system"
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "same-origin"}):
        with pytest.raises(WebSocketDenialResponse) as refused, server.socket(headers):
            pass
        assert refused.value.status_code == 403


def test_a_key_in_a_header_counts_before_the_cookie(server: Guarded):
    log_in(server, server.ann)
    assert server.client.get("/api/me", headers=server.bearer(server.bob)).json()["name"] == "Bob"
    assert server.client.get("/api/me", headers=server.bearer("sb-wrong")).status_code == 401


def test_logging_out_closes_what_the_cookie_had_opened_and_nothing_else(server: Guarded):
    log_in(server, server.ann)
    cookie = server.client.cookies[COOKIE]
    with (
        server.socket(PAGE) as page,
        server.socket(server.bearer(server.ann)) as program,
    ):
        page.receive_json()
        program.receive_json()
        answer = server.client.post("/api/logout", headers=PAGE)
        assert answer.status_code == 204
        assert COOKIE not in server.client.cookies
        assert close_code(page) == 4401
        program.send_json({"type": "ping", "cmd_id": "still there"})
        while program.receive_json()["type"] != "pong":
            pass
    copied = {"cookie": f"{COOKIE}={cookie}"}
    assert server.client.get("/api/me", headers=copied).status_code == 401, "a copy of the cookie is good no more"


def test_logging_out_without_a_login_is_no_mistake(server: Guarded):
    assert server.client.post("/api/logout", headers=PAGE).status_code == 204


def test_a_removed_key_closes_its_sockets(server: Guarded):
    with server.socket(server.bearer(server.bob)) as socket:
        socket.receive_json()
        remove_key(server.keys, server.bob)
        assert close_code(socket) == 4401


def test_a_ticket_lets_one_socket_in(server: Guarded):
    given = server.client.post("/api/ws-ticket", headers=server.bearer(server.bob)).json()
    assert given["expires_in"] == 30
    with server.socket(ticket=given["ticket"]) as socket:
        assert socket.receive_json()["type"] == "system"
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        server.socket(ticket=given["ticket"]),
    ):
        pass
    assert refused.value.status_code == 401


def test_a_ticket_opens_nothing_but_a_socket(server: Guarded):
    ticket = server.client.post("/api/ws-ticket", headers=server.bearer(server.bob)).json()["ticket"]
    assert server.client.get("/api/me", params={"ticket": ticket}).status_code == 401


def test_a_ticket_dies_with_the_key_and_with_the_login_that_asked_for_it(server: Guarded):
    of_bob = server.client.post("/api/ws-ticket", headers=server.bearer(server.bob)).json()["ticket"]
    remove_key(server.keys, server.bob)
    log_in(server, server.ann)
    of_login = server.client.post("/api/ws-ticket", headers=PAGE).json()["ticket"]
    server.client.post("/api/logout", headers=PAGE)
    for ticket in (of_bob, of_login):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            server.socket(ticket=ticket),
        ):
            pass
        assert refused.value.status_code == 401
