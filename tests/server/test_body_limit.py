from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from server.body_limit import BodyLimit, BodyLimitMiddleware


async def measure(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def ignore(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


@pytest.fixture
def client() -> TestClient:
    routes = [Route(path, measure, methods=["POST"]) for path in ("/", "/large")]
    app = Starlette(routes=[*routes, Route("/ignore", ignore, methods=["POST"])])
    others = {"/large": BodyLimit(2000, "MAX_LARGE_BYTES")}
    app.add_middleware(BodyLimitMiddleware, max_bytes=1000, others=others)
    return TestClient(app)


def in_pieces(size: int) -> Iterator[bytes]:
    for _ in range(size):
        yield b"x"


@pytest.mark.parametrize("size", [0, 1000])
def test_what_fits_is_read(client: TestClient, size: int) -> None:
    assert client.post("/", content=b"x" * size).text == str(size)
    assert client.post("/", content=in_pieces(size)).text == str(size)


def test_what_says_it_is_larger_is_refused(client: TestClient) -> None:
    refused = client.post("/", content=b"x" * 1001)
    assert refused.status_code == 413
    assert "1,000 bytes" in refused.text
    assert "MAX_BODY_BYTES" in refused.text


def test_what_turns_out_to_be_larger_is_refused(client: TestClient) -> None:
    assert client.post("/", content=in_pieces(1001)).status_code == 413


def test_a_length_that_is_none_does_not_open_the_door(client: TestClient) -> None:
    assert client.post("/", content=in_pieces(1001), headers={"content-length": "few"}).status_code == 413


def test_whoever_does_not_read_it_does_not_mind(client: TestClient) -> None:
    assert client.post("/ignore", content=b"x" * 1001).text == "done"


def test_a_path_may_have_a_limit_of_its_own(client: TestClient) -> None:
    assert client.post("/large", content=in_pieces(2000)).text == "2000"
    refused = client.post("/large", content=in_pieces(2001))
    assert refused.status_code == 413
    assert "2,000 bytes that MAX_LARGE_BYTES allows" in refused.text
