"""Nobody but the settings says which servers are asked, and what they say is read in one way only."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app import create_app
from backends.base import Backend, BackendError
from backends.http import base_url
from backends.ollama import OllamaBackend
from backends.openai import OpenAIBackend
from config import Settings, SettingsError
from server.history.records import HistoryError
from server.history.store import History
from tests.backends.asking import ask

METADATA = "http://169.254.169.254/latest/meta-data"
NO_ADDRESSES = [
    "http://",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/_x",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock",
    "javascript:alert(1)",
    "data:text/plain,x",
    "//evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:\\\\evil.example",
    "http://friend.example\\@evil.example",
    "\\\\evil.example\\share",
    "http://friend.example\r\nHost: evil.example",
    "http://friend.example /",
    "http://evil%00.example",
    "http://%31%32%37.0.0.1",
    "http://friend.example:99999",
]
ADDRESSES = {  # as they are written, and the host that is dialled
    "http://friend.example@169.254.169.254": "169.254.169.254",
    "http://friend.example:80@169.254.169.254:90": "169.254.169.254",
    "http://friend.example#@evil.example": "friend.example",
    "http://friend.example?@evil.example": "friend.example",
    "http://friend.example/@evil.example": "friend.example",
    "http://2130706433": "2130706433",
    "[::ffff:127.0.0.1]": "::ffff:127.0.0.1",
    "0": "0",
}
SETTINGS = ("OLLAMA_HOST", "OPENAI_HOST", "RATE_LIMIT_STORE")


def refuse_to_start(setting: str, address: str) -> None:
    settings = Settings(**{"BACKENDS": ["ollama", "openai", "echo"], setting: address})
    with pytest.raises(SettingsError, match=setting if setting == "RATE_LIMIT_STORE" else "is not an address"):
        create_app(settings)


# What the settings say


@pytest.mark.parametrize("address", NO_ADDRESSES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_65_what_is_no_address_does_not_start_the_server(setting: str, address: str) -> None:
    refuse_to_start(setting, address)


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "file:///etc/passwd", "mysql://friend.example/x"])
def test_65_a_history_is_looked_for_nowhere_else_than_in_a_database(address: str, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="DATABASE_URL begins with"):
        asyncio.run(History.open(address, tmp_path))


def test_65_every_setting_that_holds_an_address_is_tried_here() -> None:
    holding = {name.upper() for name in Settings.model_fields if name.endswith(("_host", "_url", "_store"))}
    assert holding == {*SETTINGS, "DATABASE_URL"}


@pytest.mark.parametrize(("address", "host"), ADDRESSES.items())
@pytest.mark.parametrize("kind", [OllamaBackend, OpenAIBackend])
def test_65_the_host_that_is_checked_is_the_one_that_is_asked(
    kind: Callable[..., Backend], address: str, host: str
) -> None:
    asked: list[httpx.URL] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(500)

    async def scenario() -> None:
        backend = kind(address, transport=httpx.MockTransport(server))
        with pytest.raises(BackendError):
            await backend.list_models()
        await backend.close()

    asyncio.run(scenario())
    assert {url.host for url in asked} == {host} == {httpx.URL(base_url(address, 80)).host}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", [OllamaBackend, OpenAIBackend])
def test_65_a_redirect_leads_nowhere(kind: Callable[..., Backend], status: int) -> None:
    asked: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(status, headers={"location": METADATA})

    async def scenario() -> None:
        backend = kind("friend.example", transport=httpx.MockTransport(server))
        for work in (backend.list_models(), anext(backend.generate(ask()))):
            with pytest.raises(BackendError) as failure:
                await work
            assert METADATA not in failure.value.message
        await backend.close()

    asyncio.run(scenario())
    assert set(asked) == {"friend.example"}


# What clients say


@contextmanager
def canary() -> Iterator[tuple[str, Callable[[], bool]]]:
    """An address that nobody has a reason to ask, and whether anybody did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def was_asked() -> bool:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x", was_asked


def requests_with(address: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Every request that could be taken for a wish to fetch something from there."""
    image = {"type": "image_url", "image_url": {"url": address}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, image]}]
    plain = [{"role": "user", "content": address}]
    wishes = {"base_url": address, "api_base": address, "host": address, "url": address, "proxy": address}
    for path in ("/v1/chat/completions", "/api/chat"):
        yield path, {"model": "echo", "messages": messages, "stream": False}
        yield path, {"model": "echo", "messages": plain, "stream": False, **wishes}
        yield path, {"model": address, "messages": plain, "stream": False}
    for path in ("/v1/completions", "/api/generate", "/generate"):
        yield path, {"model": "echo", "prompt": address, "stream": False, **wishes}
        yield path, {"model": "echo", "prompt": address, "images": [address], "stream": False}
        yield path, {"model": address, "prompt": "Hi", "stream": False}
    for path in ("/api/pull", "/api/show", "/api/models/load", "/api/embed"):
        yield path, {"model": address, "name": address, "input": address, "insecure": True, "stream": False}
    conversation = {"id": "c", "title": address, "messages": [{"role": "user", "content": f"![x]({address})"}]}
    yield "/api/import", {"conversations": [conversation], **wishes}


def test_65_no_request_makes_the_server_ask_anybody(serve: Callable[..., str], tmp_path: Path) -> None:
    with canary() as (address, was_asked):
        server = serve(rate_limit="off", database_url=f"sqlite:///{tmp_path}/history.db")
        with httpx.Client(base_url=server, timeout=20) as client:
            for path, body in requests_with(address):
                answer = client.post(path, json=body)
                assert answer.status_code < 500, f"{path} {json.dumps(body)}: {answer.text}"
                assert not was_asked(), f"{path} {json.dumps(body)}"
