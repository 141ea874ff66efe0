from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.testing import LogCapture

from server.request_log import RequestLog

UUID_V7 = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """What is logged, with what was bound when it was."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries  # type: ignore[misc]  # a list of dictionaries by another name
    structlog.reset_defaults()


async def later() -> None:
    structlog.get_logger().info("in a task")


async def hello(request: Request) -> Response:
    structlog.get_logger().info("in the route")
    await asyncio.create_task(later())
    return PlainTextResponse(request.state.request_id)


async def broken(request: Request) -> Response:
    raise RuntimeError("broken")


async def chat(websocket: WebSocket) -> None:
    if websocket.query_params.get("refused"):
        await websocket.send_denial_response(PlainTextResponse("no", 403))
        return
    await websocket.accept()
    structlog.contextvars.bind_contextvars(session="s1")
    if websocket.query_params.get("sent_away"):
        await websocket.close(4429)
        return
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/", hello),
        Route("/health/live", hello),
        Route("/broken", broken),
        Route("/r/{rest:path}", hello),
        WebSocketRoute("/ws", chat),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(RequestLog)])
    return TestClient(app, raise_server_exceptions=False)


def of(lines: list[dict[str, object]], event: str) -> dict[str, object]:
    [line] = [line for line in lines if line["event"] == event]
    return line


def test_a_request_has_an_id_in_its_state_its_answer_and_all_its_lines(
    client: TestClient, lines: list[dict[str, object]]
) -> None:
    answer = client.get("/")
    identity = answer.headers["x-request-id"]
    assert answer.text == identity
    assert [line["event"] for line in lines] == ["in the route", "in a task", "request"]
    assert {line["request_id"] for line in lines} == {identity}
    assert isinstance(lines[-1]["ms"], float)
    assert (lines[-1]["method"], lines[-1]["path"], lines[-1]["status"]) == ("GET", "/", 200)
    assert lines[-1]["client"] == "testclient"


def test_two_requests_have_two_ids(client: TestClient) -> None:
    assert client.get("/").headers["x-request-id"] != client.get("/").headers["x-request-id"]


@pytest.mark.parametrize("given", ["abc", "a" * 128, "trace/7;x={}"])
def test_a_sane_id_of_the_clients_own_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "two words", "naïve", "a\tb", "\x1b[2J"])
def test_an_id_that_would_spoil_a_log_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/", headers=[(b"x-request-id", given.encode("latin-1"))])
    assert answer.text != given
    assert re.fullmatch(UUID_V7, answer.text)


def test_a_line_holds_no_query_and_only_the_beginning_of_a_path(
    client: TestClient, lines: list[dict[str, object]]
) -> None:
    client.get("/r/" + "a" * 1000 + "?token=secret")
    line = of(lines, "request")
    assert len(str(line["path"])) == 200
    assert "secret" not in str(lines)


def test_a_request_that_fails_has_its_line_as_well(client: TestClient, lines: list[dict[str, object]]) -> None:
    client.get("/broken")
    assert of(lines, "request")["path"] == "/broken"


def test_what_probes_ask_is_not_told_at_info(client: TestClient, lines: list[dict[str, object]]) -> None:
    client.get("/health/live")
    assert of(lines, "request")["log_level"] == "debug"


def test_a_socket_says_when_it_opens_and_how_it_ends(client: TestClient, lines: list[dict[str, object]]) -> None:
    with client.websocket_connect("/ws?token=secret", headers={"x-request-id": "c1"}) as socket:
        assert (b"x-request-id", b"c1") in socket.extra_headers
        socket.close(1001)
    opened, closed = lines
    assert (opened["event"], opened["connection"], opened["path"]) == ("socket opened", "c1", "/ws")
    assert (closed["event"], closed["connection"], closed["session"], closed["code"]) == (
        "socket closed",
        "c1",
        "s1",
        1001,
    )
    assert isinstance(closed["seconds"], float)
    assert "secret" not in str(lines)


def test_a_socket_that_is_sent_away_says_with_what_code(client: TestClient, lines: list[dict[str, object]]) -> None:
    with client.websocket_connect("/ws?sent_away=1") as socket, pytest.raises(WebSocketDisconnect):
        socket.receive_text()
    assert of(lines, "socket closed")["code"] == 4429


def test_a_socket_that_is_refused_says_with_what_status(client: TestClient, lines: list[dict[str, object]]) -> None:
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect("/ws?refused=1"):
        pass
    assert re.fullmatch(UUID_V7, refused.value.headers["x-request-id"])
    line = of(lines, "socket closed")
    assert line["status"] == 403
    assert "code" not in line
