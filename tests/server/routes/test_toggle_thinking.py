"""`POST /api/toggle-thinking`: chosen for a conversation, kept with it, and what its next answers go by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from backends.base import Done
from server.errors import add_error_handlers
from server.history.store import History
from server.hub import Hub
from server.protocol import UserCommand
from server.routes.toggle_thinking import toggle_thinking_router
from server.session import Session
from tests.server.doubles import Puppet, Reader


@asynccontextmanager
async def door(puppet: Puppet, folder: Path | None = None) -> AsyncGenerator[tuple[Hub, httpx.AsyncClient]]:
    opener = (lambda: History.open("sqlite:///chats.db", folder)) if folder is not None else None
    hub = Hub([puppet], open_history=opener)
    await hub.start()
    app = FastAPI()
    app.include_router(toggle_thinking_router(hub))
    add_error_handlers(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        try:
            yield hub, client
        finally:
            await hub.close()


async def toggle(client: httpx.AsyncClient, body: str) -> bool:
    answer = await client.post("/api/toggle-thinking", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    return bool(answer.json()["enabled"])


async def asked_to_think(hub: Hub, session: Session, puppet: Puppet, think: bool | None = None) -> bool | None:
    """How the model is asked for the next answer."""
    reader = Reader(session.subscribe())
    puppet.say("Well.", Done("stop"))
    hub.ask(session, UserCommand(message="Why?", think=think))
    await reader.until("ai")
    reader.subscriber.close()
    return puppet.requests[-1].think


def test_the_answers_of_a_conversation_go_by_it_unless_a_message_says_otherwise() -> None:
    async def scenario() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session, other = hub.create(), hub.create()
            assert await asked_to_think(hub, session, puppet) is None, "nobody has chosen"
            assert await toggle(client, f"session_id={session.id}") is False
            assert await asked_to_think(hub, session, puppet) is False
            assert await asked_to_think(hub, session, puppet, think=True) is True
            assert await asked_to_think(hub, other, puppet) is None, "it is one conversation's matter"
            assert await toggle(client, json.dumps({"session_id": session.id})) is True
            assert await asked_to_think(hub, session, puppet) is True

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "enabled"),
    [
        ("session_id=tab-1&enabled=true", True),
        ("session_id=tab-1&enabled=off", False),
        ('{"session_id":"tab-1","enabled":true}', True),
        ('{"session_id":"tab-1","enabled":false}', False),
        ('{"session_id":"tab-1","enabled":null}', False),
    ],
)
def test_it_can_be_said_in_a_form_and_in_json_also_of_a_conversation_that_is_only_a_name(
    body: str, enabled: bool
) -> None:
    async def scenario() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            assert await toggle(client, body) is enabled
            session = await hub.open_named("tab-1")
            assert await asked_to_think(hub, session, puppet) is enabled

    asyncio.run(scenario())


def test_it_outlives_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        puppet = Puppet()
        async with door(puppet, tmp_path) as (hub, client):
            session = hub.create()
            await asked_to_think(hub, session, puppet)
            await toggle(client, f"session_id={session.id}")
        async with door(puppet, tmp_path) as (hub, client):
            again = await hub.get(session.id)
            assert again is not None
            assert await asked_to_think(hub, again, puppet) is False

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("", 422, "session_id: Field required"),
        ("session_id=a%2Fb", 404, "name"),
        ("session_id=x&enabled=perhaps", 422, "enabled: "),
        ('{"session_id":"x","enabled":7}', 422, "enabled: "),
        ('{"session_id":"x","thinking":true}', 422, "no field thinking"),
        ("{", 422, "not JSON"),
        ("[]", 422, "not a JSON object"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(body: str, status: int, told: str) -> None:
    async def scenario() -> None:
        async with door(Puppet()) as (_, client):
            answer = await client.post("/api/toggle-thinking", content=body)
            assert answer.status_code == status
            assert told in answer.json()["error"]

    asyncio.run(scenario())
