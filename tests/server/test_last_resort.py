from __future__ import annotations

import asyncio
import errno
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.testing import LogCapture
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from server.last_resort import LastResort, watch_loop, watch_process
from server.request_log import RequestLog
from tests.server.doubles import turn_over
from tests.server.raw_client import exchange
from tests.server.serving import listening

SECRET = "/a/secret/path"


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.reset_defaults()


async def fail(request: Request) -> Response:
    raise RuntimeError(SECRET)


async def fail_later(request: Request) -> Response:
    async def pieces() -> Any:
        yield b"some"
        raise RuntimeError(SECRET)

    return StreamingResponse(pieces())


async def socket_fails(websocket: WebSocket) -> None:
    if "accepted" in websocket.query_params:
        await websocket.accept()
    raise RuntimeError(SECRET)


async def socket_leaves(websocket: WebSocket) -> None:
    await websocket.accept()
    raise WebSocketDisconnect(1006)


APP = Starlette(
    routes=[
        Route("/fail", fail),
        Route("/v1/fail", fail),
        Route("/later", fail_later),
        WebSocketRoute("/ws", socket_fails),
        WebSocketRoute("/leave", socket_leaves),
    ],
    middleware=[Middleware(RequestLog), Middleware(LastResort)],
)


def test_a_failure_is_a_500_that_says_its_id_and_nothing_else(lines: list[Any]) -> None:
    answer = TestClient(APP).get("/fail", headers={"x-request-id": "r1"})
    assert answer.status_code == 500
    assert answer.json() == {
        "success": False,
        "error": "Something went wrong in the server. Its log says what.",
        "request_id": "r1",
    }
    assert answer.headers["x-request-id"] == "r1"
    failed, request = lines
    assert (failed["event"], failed["request_id"], failed["exc_info"]) == ("a request failed", "r1", True)
    assert (request["event"], request["status"]) == ("request", 500)


def test_a_failure_is_told_to_openais_clients_in_their_words() -> None:
    answer = TestClient(APP).get("/v1/fail").json()
    assert answer["error"]["type"] == "server_error"
    assert SECRET not in str(answer)


def test_an_answer_that_breaks_off_does_not_look_whole(lines: list[Any]) -> None:
    async def scenario() -> bytes:
        async with listening(APP) as url:
            return await exchange(url, b"GET /later HTTP/1.1\r\nhost: a\r\n\r\n")

    answer = asyncio.run(scenario())
    assert b"some" in answer
    assert not answer.endswith(b"0\r\n\r\n"), "the last piece of the answer must be missing"
    assert lines[0]["event"] == "a request failed"


def test_a_socket_that_fails_is_closed_with_1011(lines: list[Any]) -> None:
    async def scenario() -> int:
        async with listening(APP) as url, connect(url.replace("http", "ws") + "/ws?accepted=1") as socket:
            with pytest.raises(ConnectionClosedError) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code

    assert asyncio.run(scenario()) == 1011
    assert [line["event"] for line in lines] == ["socket opened", "a request failed", "socket closed"]
    assert lines[-1]["code"] == 1011


def test_a_handshake_that_fails_is_a_500(lines: list[Any]) -> None:
    async def scenario() -> None:
        async with listening(APP) as url:
            with pytest.raises(InvalidStatus) as refused:
                await connect(url.replace("http", "ws") + "/ws")
            assert refused.value.response.status_code == 500

    asyncio.run(scenario())
    assert lines[0]["event"] == "a request failed"


def test_a_client_that_leaves_is_no_failure(lines: list[Any]) -> None:
    with TestClient(APP).websocket_connect("/leave"):
        pass
    assert [line["event"] for line in lines] == ["socket opened", "socket closed"]


def test_a_task_that_nobody_waits_for_is_told_of_and_its_loop_runs_on(lines: list[Any]) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        watch_loop(loop)
        task = loop.create_task(broken())
        await turn_over()
        del task
        gc.collect()
        loop.call_soon(lambda: 1 / 0)
        await turn_over()

    asyncio.run(scenario())
    assert [type(line["exc_info"]) for line in lines] == [RuntimeError, ZeroDivisionError]
    assert "never retrieved" in lines[0]["message"]


def test_being_out_of_files_is_told_once_a_second_whatever_comes(lines: list[Any]) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        watch_loop(loop)
        for code in (errno.EMFILE, errno.ENFILE) * 100:
            context = {"message": "socket.accept() out of system resource", "exception": OSError(code, "none left")}
            loop.call_exception_handler(context)

    asyncio.run(scenario())
    assert [line["event"] for line in lines] == ["The system has nothing left for another connection."]


@pytest.fixture
def watched_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.excepthook", threading.excepthook)
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    monkeypatch.setattr("faulthandler.enable", lambda: None)  # pytest has its own
    watch_process()


@pytest.mark.usefixtures("watched_process")
def test_a_thread_that_fails_is_told_of(lines: list[Any]) -> None:
    thread = threading.Thread(target=lambda: 1 / 0, name="worker")
    thread.start()
    thread.join()
    [line] = lines
    assert (line["event"], line["thread"], line["exc_info"][0]) == ("a thread failed", "worker", ZeroDivisionError)


@pytest.mark.usefixtures("watched_process")
def test_a_finalizer_that_fails_is_told_of(lines: list[Any]) -> None:
    class Broken:
        def __del__(self) -> None:
            raise RuntimeError("broken")

    Broken()
    gc.collect()
    assert [(line["event"], line["exc_info"][0]) for line in lines] == [("a finalizer failed", RuntimeError)]
