"""What a browser is told about pages of other origins: those that the settings name may ask, the others may not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi.testclient import TestClient

from app import create_app
from config import Settings, SettingsError

FRIEND, STRANGER = "https://friend.example", "https://evil.example"
PATHS = ("/", "/api/models", "/v1/models", "/v1/chat/completions", "/api/chat", "/generate", "/health", "/nowhere")
ASKED = "authorization,content-type,x-stainless-os"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(BACKENDS=["echo"], ALLOWED_ORIGINS=f"{FRIEND}:443/")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


def preflight(client: TestClient, path: str, origin: str) -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": ASKED,
    }
    answer: httpx.Response = client.options(path, headers=headers)
    return answer


def told(answer: httpx.Response) -> dict[str, str]:
    prefix = "access-control-"
    return {name.removeprefix(prefix): value for name, value in answer.headers.items() if name.startswith(prefix)}


@pytest.mark.parametrize("path", PATHS)
def test_a_page_that_the_settings_name_may_ask_with_a_key_of_its_own_and_no_cookies(
    client: TestClient, path: str
) -> None:
    answer = preflight(client, path, FRIEND)
    assert answer.status_code == 200
    permitted = told(answer)
    assert permitted["allow-origin"] == FRIEND
    assert set(ASKED.split(",")) <= {name.strip() for name in permitted["allow-headers"].split(",")}
    assert {"GET", "POST", "PATCH", "DELETE"} <= {name.strip() for name in permitted["allow-methods"].split(",")}
    assert "allow-credentials" not in permitted
    assert "origin" in answer.headers["vary"].lower()
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_what_it_asks_for_it_may_read_refusals_and_their_headers_as_well(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"origin": FRIEND})
    permitted = told(answer)
    assert permitted["allow-origin"] == FRIEND
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining"} <= {
        name.strip().lower() for name in permitted["expose-headers"].split(",")
    }
    assert "allow-credentials" not in permitted


@pytest.mark.parametrize(
    "origin", [STRANGER, "null", f"{FRIEND}.evil", "http://friend.example", "https://friend.example:444"]
)
@pytest.mark.parametrize("path", PATHS)
def test_any_other_page_is_permitted_nothing(client: TestClient, path: str, origin: str) -> None:
    for answer in (preflight(client, path, origin), client.get(path, headers={"origin": origin})):
        assert "allow-origin" not in told(answer)
        assert "allow-credentials" not in told(answer)


@pytest.mark.parametrize("origins", ["", FRIEND])
def test_without_a_name_in_the_settings_nobody_is_permitted_anything(origins: str) -> None:
    client = TestClient(create_app(Settings(BACKENDS=["echo"], ALLOWED_ORIGINS=origins)), base_url="http://127.0.0.1")
    assert ("allow-origin" in told(client.get("/health/live", headers={"origin": FRIEND}))) == bool(origins)


@pytest.mark.parametrize("origin", ["*", "null", "friend.example", "https://", "file:///x", "https://a.example/path"])
def test_what_is_no_origin_does_not_start_the_server(origin: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        create_app(Settings(BACKENDS=["echo"], ALLOWED_ORIGINS=origin))
