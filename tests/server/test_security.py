import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from server.origins import OriginPolicy
from server.security import SecurityMiddleware


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("done")


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
    app.add_middleware(
        SecurityMiddleware, policy=OriginPolicy("127.0.0.1", 8000, ["chat.example"], ["https://friend.example"])
    )
    return TestClient(app, base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "chat.example"])
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "chat.example.evil", ""]
)
def test_a_foreign_host_name_is_refused(client: TestClient, host: str) -> None:
    refused = client.get("/", headers={"host": host})
    assert refused.status_code == 400
    assert "ALLOWED_HOSTS" in refused.json()["error"]
    assert "content-security-policy" in refused.headers


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:8000", "https://friend.example"])
def test_own_and_invited_pages_and_programs_may_write(client: TestClient, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    assert client.post("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://127.0.0.1:9000",
        "https://127.0.0.1:8000",
        "http://sub.friend.example",
        "https://friend.example.evil",
        "https://friend.example:444",
    ],
)
def test_a_foreign_page_may_read_nothing_new_and_write_nothing(client: TestClient, origin: str) -> None:
    refused = client.post("/", headers={"origin": origin})
    assert refused.status_code == 403
    assert "ALLOWED_ORIGINS" in refused.json()["error"]
    assert "access-control-allow-origin" not in refused.headers
