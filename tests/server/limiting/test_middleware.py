from __future__ import annotations

import time

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from app import create_app
from config import Settings
from server.limiting.limiter import RateLimiter
from server.limiting.middleware import STARTS_WORK, RateLimitMiddleware

STRANGER = ("203.0.113.7", 50_000)
NO_WORK = {
    "/api/blobs/{digest}",
    "/api/copy",
    "/api/create",
    "/api/push",
    "/api/sessions/{session_id}/restore",
    "/api/show",
    "/api/toggle-thinking",
}
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


async def work(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


def client_of(rate: str, address: tuple[str, int] = STRANGER) -> TestClient:
    app = Starlette(routes=[Route(path, work, methods=["GET", "POST"]) for path in ("/other", *STARTS_WORK)])
    app.add_middleware(RateLimitMiddleware, limiter=RateLimiter(rate))
    return TestClient(app, client=address)


def test_every_answer_tells_what_is_left_until_there_is_nothing():
    client = client_of("2/minute")
    for left in ("1", "0"):
        answer = client.post("/generate")
        assert answer.status_code == 200
        assert [answer.headers[name] for name in HEADERS[:2]] == ["2", left]
        assert 0 <= int(answer.headers[HEADERS[2]]) - time.time() <= 61
    refused = client.post("/generate")
    assert (refused.status_code, refused.headers["x-ratelimit-remaining"]) == (429, "0")
    assert 1 <= int(refused.headers["retry-after"]) <= 120


@pytest.mark.parametrize("path", sorted(STARTS_WORK))
def test_whatever_starts_work_counts_for_the_same_limit(path: str):
    client = client_of("1/minute")
    assert client.post("/api/chat").status_code == 200
    assert client.post(path).status_code == 429


def test_what_starts_no_work_is_not_counted_and_hears_of_no_limit():
    client = client_of("1/minute")
    for answer in [client.get("/generate"), *[client.post("/other") for _ in range(3)]]:
        assert answer.status_code == 200
        assert not set(HEADERS) & set(answer.headers)
    assert client.post("/generate").status_code == 200


def test_each_api_hears_it_in_its_own_words():
    client = client_of("1/minute")
    client.post("/generate")
    theirs = client.post("/v1/completions").json()["error"]
    assert "too many requests" in theirs["message"]
    assert theirs["code"] == "rate_limit_exceeded"
    ours = client.post("/generate").json()
    assert ours["success"] is False
    assert "too many requests" in ours["error"]


def test_this_machine_and_everybody_while_it_is_off_have_no_limit():
    for client in (client_of("1/minute", ("127.0.0.1", 1)), client_of("off")):
        answers = [client.post("/generate") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert "x-ratelimit-limit" not in answers[0].headers


def test_a_flood_is_told_of_once_in_the_log():
    client = client_of("1/minute")
    with capture_logs() as lines:
        for _ in range(20):
            client.post("/generate")
    told = [line for line in lines if "whom" in line]
    assert [line["whom"] for line in told[:1]] == ["client 203.0.113.7"]
    assert len(told) < 19


def test_every_route_that_changes_something_either_counts_as_work_or_is_none():
    """A new one has to be put into one of the two lists."""
    paths = create_app(Settings(BACKENDS=["echo"])).openapi()["paths"]
    posts = {path for path, operations in paths.items() if "post" in operations}
    assert posts - STARTS_WORK == NO_WORK
    assert posts >= STARTS_WORK
