"""Pages of other origins open no socket, and other host names reach nothing, whatever they are written like."""

from __future__ import annotations

import pytest

from tests.faults.guarded import bearer, guarded, handshake, status_of
from tests.faults.whole_server import play, whole

FOREIGN_ORIGINS = [
    "https://evil.example",
    "null",
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:{other}",
    "https://127.0.0.1:{port}",
    "ws://127.0.0.1:{port}",
    "HTTP://127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}.evil.example",
    "http://evil.example:{port}",
    "http://sub.localhost:{port}",
    "http://localhost.evil.example:{port}",
    "http://LOCALHOST:{port}",
    "http://127.0.0.1:{port}@evil.example",
    "http://evil.example#127.0.0.1:{port}",
    "http://127.0.0.1:{port}, https://evil.example",
    "http://sub.friend.example",
    "https://friend.example",
    "http://friend.example:81",
    "http://friend.exampl",
    "file://",
    "chrome-extension://abcdef",
]
HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example",
    "localhost.evil.example:{port}",
    "127.0.0.1:{port}.evil.example",
    "127.0.0.1:{port}@evil.example",
    "evil.example/127.0.0.1:{port}",
    "evil.example#@127.0.0.1:{port}",
    "127.0.0.1:{port}/static/?",
    "127.0.0.1:{port}?/health",
    "127.0.0.1:{port} ",
    "127.0.0.1:port",
    "",
]
PATHS = [
    "/health/../api/models",
    "/static/../api/models",
    "/static/%2e%2e/api/models",
    "/static/..%2fapi/models",
    "/static//../api/models",
    "/health/live/../../api/models",
    "/api/login/../models",
    "//api/models",
    "/./api/models",
    "/api/models/",
    "/API/models",
    "/api/models?/static/",
    "/api/models;/static/",
    "/%61pi/models",
    "/health%00/../api/models",
    "http://127.0.0.1/api/models",
    "http://evil.example/static/../api/models",
]


def origin(template: str, port: int) -> str:
    return template.format(port=port, other=port + 1)


def test_59_a_foreign_page_opens_no_socket() -> None:
    async def scenario() -> None:
        async with whole(allowed_origins=["http://friend.example"]) as server:
            port = int(server.url.rpartition(":")[2])
            for template in FOREIGN_ORIGINS:
                status = await handshake(server.ws, ("Origin", origin(template, port)))
                assert status == 403, f"{template} opened a socket, or failed with {status}"
            own = ("Origin", server.url)
            for second in (own, ("Origin", "https://evil.example")):
                assert await handshake(server.ws, own, second) == 400, "no browser says it twice"
            for welcome in (server.url, f"http://localhost:{port}", "http://friend.example"):
                assert await handshake(server.ws, ("Origin", welcome)) == 101, welcome

    play(scenario)


def test_59_a_program_says_no_origin_and_needs_a_key_where_keys_are_asked_for() -> None:
    async def scenario() -> None:
        async with whole() as server:
            assert await handshake(server.ws) == 101, "on loopback nobody is asked"
        async with guarded() as asked:
            ws = asked.server.ws
            assert await handshake(ws) == 401
            assert await handshake(ws, ("Authorization", f"Bearer {asked.ann}")) == 101
            assert await handshake(ws, ("X-Api-Key", asked.ann)) == 101

    play(scenario)


def test_59_a_foreign_page_opens_no_socket_with_a_key_or_a_log_in_either() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            page = asked.server.url
            await http.post("/api/login", json={"key": asked.ann}, headers={"origin": page})
            [(name, value)] = http.cookies.items()
            cookie, key = ("Cookie", f"{name}={value}"), ("Authorization", f"Bearer {asked.ann}")
            assert await handshake(asked.server.ws, cookie, ("Origin", page)) == 101
            for shown in (cookie, key):
                for template in FOREIGN_ORIGINS:
                    foreign = origin(template, int(page.rpartition(":")[2]))
                    assert await handshake(asked.server.ws, shown, ("Origin", foreign)) == 403, template
            assert await handshake(asked.server.ws, cookie) == 403, "a cookie without a page is nobody's"

    play(scenario)


@pytest.mark.parametrize("path", ["/api/models", "/", "/v1/models", "/health", "/ws"])
def test_60_a_name_that_is_not_ours_reaches_nothing(path: str) -> None:
    async def scenario() -> None:
        async with whole() as server:
            port = int(server.url.rpartition(":")[2])
            for template in HOSTS:
                status = await status_of(server.url, path, [("Host", origin(template, port))])
                assert status == 400, f"{template} reached {path} with {status}"
            own = ("Host", f"127.0.0.1:{port}")
            assert await status_of(server.url, path, [own, ("Host", "evil.example")]) == 400
            assert await status_of(server.url, path, [("Host", "evil.example"), own]) == 400

    play(scenario)


def test_60_a_socket_is_not_opened_under_another_name() -> None:
    async def scenario() -> None:
        async with whole() as server:
            url = server.ws.replace("127.0.0.1", "localhost")
            assert await handshake(url) == 101
        async with guarded() as asked:
            for shown in ([], [("Authorization", f"Bearer {asked.ann}")]):
                headers = [
                    ("Host", "evil.example"),
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="),
                    ("Sec-WebSocket-Version", "13"),
                    *shown,
                ]
                assert await status_of(asked.server.url, "/ws", headers) == 400

    play(scenario)


def test_60_no_way_of_writing_a_path_gets_around_the_keys() -> None:
    async def scenario() -> None:
        async with guarded() as asked:
            host = asked.server.url.removeprefix("http://")
            for path in PATHS:
                status = await status_of(asked.server.url, path)
                assert status in (400, 401, 404), f"{path} was answered with {status}"
            tricked = [("Host", f"{host}/static/x?")]
            assert await status_of(asked.server.url, "/api/models", tricked) == 400
            allowed = [("Host", host), *bearer(asked.ann).items()]
            assert await status_of(asked.server.url, "/api/models", allowed) == 200

    play(scenario)
