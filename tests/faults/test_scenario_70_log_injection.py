"""The log says what happened, and nothing that a client would have it say."""

from __future__ import annotations

import asyncio
import json
import signal

import httpx
import pytest

from tests.server.program import Program, running
from tests.server.raw_client import exchange
from tests.server.serving import joined

FORGED_PATH = '%0d%0a%1b[2J%c2%9b{"event":"forged"}'
FORGED = 'x\r\n{"event":"forged"}\x1b[2J\x9b\u202e'


async def attack(server: Program) -> None:
    """Put what forges a line, and what a terminal obeys, wherever a client may say something."""
    async with httpx.AsyncClient(base_url=server.url) as http:
        bad = b"\x1b[2J forged"
        headers = [(b"user-agent", bad), (b"x-request-id", bad)]
        assert (await http.get(f"/{FORGED_PATH}")).status_code == 404
        assert (await http.get(f"/{FORGED_PATH}", headers=headers)).status_code == 400
        told = {"x-forwarded-for": '203.0.113.7", {"event":"forged"}', "forwarded": 'for="\\forged'}
        assert (await http.get(f"/{FORGED_PATH}", headers=told)).status_code == 404
        assert (await http.post("/api/models/load", json={"model": FORGED})).status_code == 404
        asked = {"model": FORGED, "prompt": FORGED, "messages": [{"role": "user", "content": FORGED}]}
        for path in ("/v1/completions", "/v1/chat/completions", "/api/generate", "/api/chat", "/generate"):
            body = {name: value for name, value in asked.items() if (name == "messages") is ("chat" in path)}
            assert (await http.post(path, json={**body, "model": FORGED})).status_code in (400, 404)
        assert (await http.post("/api/pull", json={"model": FORGED})).status_code < 500
        raw = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: a\n{forged}\r\n\r\n"
        await exchange(server.url, raw + b"\r\n" * 9)
    async with joined(server.ws) as client:
        await client.send(json.dumps({"message": FORGED, "model": FORGED, "cmd_id": FORGED[:30]}))
        await client.until("error")


@pytest.mark.parametrize("form", ["json", "console"])
def test_70_what_clients_send_cannot_forge_a_line_of_the_log(form: str) -> None:
    with running(LOG_FORMAT=form, TRUSTED_PROXIES="127.0.0.1") as server:
        asyncio.run(attack(server))
        server.send(signal.SIGTERM)
        assert server.status() == 0
    assert len(server.lines("/api/models/load")) == 1, "each request has its line"
    for line in server.log:
        assert line.isprintable()
        if form == "json":
            assert json.loads(line)["event"] != "forged"
        else:
            assert not line.startswith("{")


def test_70_prompts_and_answers_are_not_in_the_log() -> None:
    private = "a very private question"

    async def scenario() -> None:
        async with joined(server.ws) as client, httpx.AsyncClient(base_url=server.url) as http:
            await client.send(json.dumps({"message": private}))
            await client.until("ai")
            named = {"x-request-id": "an-id-of-my-own"}
            answer = await http.post("/v1/completions", json={"prompt": private}, headers=named)
            assert answer.headers["x-request-id"] == "an-id-of-my-own"
            await http.get("/api/sessions?q=a+very+private+question")
            opened = await asyncio.to_thread(server.wait_for, "socket opened")
            chat, call = (json.loads(line) for line in server.lines('"answered"'))
            assert chat["session"] == client.session
            assert "run" in chat
            assert (call["request_id"], call["request"]) == ("an-id-of-my-own", "an-id-of-my-own")
            assert json.loads(opened)["connection"] != call["request_id"]

    with running() as server:
        asyncio.run(scenario())
        server.send(signal.SIGTERM)
        assert server.status() == 0
    [closed] = server.events("socket closed")
    assert {"session", "connection", "code", "seconds"} <= closed.keys()
    assert not server.lines("private")
