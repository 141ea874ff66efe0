"""`POST /api/chat`: what a body is decides what comes back, whatever its Content-Type says."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.responses import JSONResponse, Response

from backends.echo import EchoBackend
from server.errors import add_error_handlers
from server.hub import Hub
from server.options import HubOptions
from server.origins import OriginPolicy
from server.routes.chat import chat_router
from server.security import SecurityMiddleware
from server.turns import MAX_WAITING

TYPES = ["application/json", "application/x-www-form-urlencoded", "text/plain", "", "nonsense"]
HOSTILE = """<img src=x onerror=alert(1)> & "it's" </div>"""


async def whole_conversation(hub: Hub, request: Request, body: Mapping[str, Any]) -> Response:
    """Stands where the answer for Ollama's clients is made."""
    return JSONResponse({"whole": body["model"]})


@pytest.fixture
def hub() -> Hub:
    """No answer ends by itself, so that whatever comes next has to wait."""
    return Hub([EchoBackend(delay=600)], HubOptions(max_message_chars=1_000))


@pytest.fixture
def client(hub: Hub) -> Iterator[TestClient]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        await hub.start()
        yield
        await hub.close()

    app = FastAPI(lifespan=lifespan)
    app.include_router(chat_router(hub, whole_conversation))
    app.add_middleware(SecurityMiddleware, policy=OriginPolicy("127.0.0.1", 80))
    add_error_handlers(app)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def say(client: TestClient, body: str | bytes | dict[str, object], kind: str = "", origin: str = "") -> Any:
    content = json.dumps(body) if isinstance(body, dict) else body
    headers = {"content-type": kind} if kind else {}
    return client.post("/api/chat", content=content, headers=headers | ({"origin": origin} if origin else {}))


class Fragment(HTMLParser):
    """The elements of a fragment, as `tag.class#id`, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        identity = f"#{found['id']}" if "id" in found else ""
        self.elements.append(".".join([tag, *str(found.get("class", "")).split()]) + identity)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


@pytest.mark.parametrize("kind", TYPES)
def test_a_form_gets_a_fragment_with_the_place_for_the_answer(client: TestClient, hub: Hub, kind: str) -> None:
    answer = say(client, urlencode({"session_id": "tab-1", "message": "Hello 😀"}), kind)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    fragment = Fragment(answer.text)
    [session] = hub.sessions
    [user] = [node for node in session.state.nodes.values() if node.role == "user"]
    assert fragment.elements == [
        "div.message.user",
        "div.message-bubble",
        f"div.message.assistant#msg-{user.run}",
        "div.message-bubble",
        "span.loading",
    ]
    assert fragment.texts == ["Hello 😀", "Thinking..."]
    assert UUID(user.run).version == 7


def test_what_a_person_said_is_text_in_the_fragment(client: TestClient) -> None:
    answer = say(client, urlencode({"session_id": "tab-1", "message": HOSTILE}))
    assert escape(HOSTILE) in answer.text
    assert unescape(Fragment(answer.text).texts[0]) == HOSTILE
    assert not any(element.startswith("img") for element in Fragment(answer.text).elements)


def test_one_name_is_one_conversation(client: TestClient, hub: Hub) -> None:
    for message in ("one", "two"):
        say(client, urlencode({"session_id": "tab-1", "message": message}))
    assert len(hub.sessions) == 1


@pytest.mark.parametrize("kind", TYPES)
def test_json_gets_the_ids(client: TestClient, hub: Hub, kind: str) -> None:
    answer = say(client, {"message": "Hello"}, kind).json()
    session = hub.sessions.get(answer["session_id"])
    assert session is not None
    assert answer["success"] is True
    assert session.state.nodes[answer["user_id"]].run == answer["message_id"]
    again = say(client, {"message": "And?", "session_id": answer["session_id"]}, kind).json()
    assert again["session_id"] == answer["session_id"], "the conversation goes on"
    named = say(client, {"message": "Hello", "session_id": "tab-1"}).json()
    assert named["session_id"] not in ("tab-1", answer["session_id"])


def test_json_may_say_how_to_answer(client: TestClient, hub: Hub) -> None:
    answer = say(client, {"message": "Hi", "model": "echo/echo", "params": {"max_tokens": 3}, "think": False})
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("more", [{"messages": [{"role": "user", "content": "Hi"}]}, {"messages": []}, {}])
def test_a_whole_conversation_goes_to_whoever_answers_such(
    client: TestClient, kind: str, more: dict[str, object]
) -> None:
    assert say(client, {"model": "echo", **more}, kind).json() == {"whole": "echo"}


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 422, "session_id: Field required"),
        (b"message=x", 422, "session_id: Field required"),
        (b"session_id=x", 422, "message: Field required"),
        (b"session_id=x&message=%20", 422, "nothing in it"),
        (b"session_id=x&message=hi&more=1", 422, "no field more"),
        (b"session_id=a%20b&message=hi", 404, "name"),
        (b"session_id=x&message=%ff", 422, "neither a form nor JSON"),
        (b"\xff\xfe", 422, "neither a form nor JSON"),
        (b"&" * 100, 422, "neither a form nor JSON"),
        (b"{", 422, "not JSON"),
        (b"[]", 422, "not a JSON object"),
        (b"{}", 422, "message: Field required"),
        (b'{"message":7}', 422, "message: Input should be a valid string"),
        (b'{"message":" "}', 422, "nothing in it"),
        (b'{"message":"hi","session_id":"../etc"}', 404, "name"),
        (b'{"message":"hi","params":{"top_k":-1}}', 422, "params.top_k"),
        (b'{"message":"' + b"x" * 1_001 + b'"}', 413, "longer than 1,000"),
    ],
)
def test_what_is_none_of_these_is_refused_with_a_sentence(
    client: TestClient, hub: Hub, body: bytes, status: int, told: str
) -> None:
    answer = say(client, body)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert told in answer.json()["error"]
    assert not any(session.head for session in hub.sessions), "nothing was said"


def test_one_message_too_many_is_refused_with_a_time_to_come_back(client: TestClient) -> None:
    body = {"session_id": "tab-1", "message": "word "}
    *taken, refused = [say(client, body) for _ in range(MAX_WAITING + 2)]
    assert {answer.status_code for answer in taken} == {200}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    "body",
    [urlencode({"session_id": "x", "message": "hi"}), {"message": "hi"}, {"model": "echo", "messages": []}],
    ids=["form", "json", "whole conversation"],
)
def test_a_foreign_page_is_refused_whatever_it_sends(
    client: TestClient, hub: Hub, body: str | dict[str, object]
) -> None:
    for origin in ("https://evil.example", "null"):
        answer = say(client, body, origin=origin)
        assert answer.status_code == 403
    assert say(client, body, origin="http://127.0.0.1").status_code == 200
