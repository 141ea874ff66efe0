"""Somebody else's conversation is one that nobody knows, by whatever way it is asked for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.faults.guarded import Guarded, bearer, guarded
from tests.faults.whole_server import play, say
from tests.server.access.keys_for_tests import add_key, id_of
from tests.server.doubles import eventually
from tests.server.serving import SocketClient

NOBODYS = "0" * 32


@asynccontextmanager
async def joined(asked: Guarded, key: str, query: str = "") -> AsyncGenerator[SocketClient]:
    """A client with that key, which has read the hello."""
    url = f"{asked.server.ws}?sessions=1{query}"
    async with connect(url, additional_headers=bearer(key), compression=None, max_queue=None) as socket:
        client = SocketClient(socket)
        await client.until("system")
        yield client


async def said(asked: Guarded, key: str, words: str) -> str:
    """A conversation of whoever has that key, in which this was said and answered. Gives its id."""
    async with joined(asked, key) as client:
        await client.send(say(words))
        await client.until("ai")
        return client.session


async def asked_for(http: httpx.AsyncClient, session: str) -> list[tuple[int, str]]:
    """What every way over HTTP says of a conversation, with its id struck out."""
    ways = [
        http.get(f"/api/sessions/{session}"),
        http.get(f"/api/sessions/{session}/export"),
        http.get(f"/api/sessions/{session}/export?format=markdown"),
        http.patch(f"/api/sessions/{session}", json={"title": "Mine"}),
        http.patch(f"/api/sessions/{session}", json={"pinned": True}),
        http.post(f"/api/sessions/{session}/restore"),
        http.delete(f"/api/sessions/{session}"),
    ]
    answers = [await way for way in ways]
    return [(answer.status_code, answer.text.replace(session, "")) for answer in answers]


def test_62_over_http_somebody_elses_conversation_is_like_none() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            session = await said(asked, asked.ann, "a secret")
            http.headers.update(bearer(asked.bob))
            theirs = await asked_for(http, session)
            assert theirs == await asked_for(http, NOBODYS)
            assert {status for status, _ in theirs} == {404}
            for path in ("/api/sessions", "/api/sessions?q=secret", "/api/export", "/api/export?format=markdown"):
                answer = await http.get(path)
                assert answer.status_code == 200
                assert session not in answer.text, path
                assert b"secret" not in answer.content, path
            http.headers.update(bearer(asked.ann))
            kept = (await http.get(f"/api/sessions/{session}")).json()["sessions"][0]
            assert kept["messages"][0]["message"] == "a secret"
            assert kept["title"] == "a secret"

    play(scenario)


def test_62_over_the_socket_it_is_unknown_and_nothing_of_it_is_sent() -> None:
    async def scenario() -> None:
        async with guarded() as asked:
            session = await said(asked, asked.ann, "a secret")
            for wanted in (session, NOBODYS):
                for place in ("", "&epoch=0&after=1", f"&epoch={'0' * 16}&after=0"):
                    async with joined(asked, asked.bob, f"&session={wanted}{place}") as client:
                        assert client.types()[:2] == ["error", "system"]
                        assert client.frames[0]["code"] == "unknown_session"
                        assert client.session not in (session, wanted)
                        await client.send('{"type":"stop","cmd_id":"s"}')
                        await client.until("ack", "error")
                        assert "secret" not in json.dumps(client.frames)

    play(scenario)


def test_62_nobody_else_stops_or_changes_an_answer_by_its_id() -> None:
    async def scenario() -> None:
        async with guarded() as asked, joined(asked, asked.ann) as hers, joined(asked, asked.bob) as his:
            pace = asked.server.recital.pace
            pace.hold()
            await hers.send(say("a secret"))
            run = (await hers.until("typing"))["id"]
            said_by_her = next(frame["id"] for frame in hers.frames if frame["type"] == "user")
            for kind in ("stop", "regenerate", "continue", "select", "remove", "queue_remove"):
                for identity in (run, said_by_her):
                    await his.send(json.dumps({"type": kind, "id": identity, "cmd_id": f"{kind} {identity}"}))
                    refused = await his.until("error", "ack")
                    assert (refused["type"], refused["code"]) == ("error", "not_found"), kind
            await his.send(json.dumps({"type": "edit", "id": said_by_her, "message": "x", "cmd_id": "edit"}))
            assert (await his.until("error", "ack"))["code"] == "not_found"
            pace.free()
            assert (await hers.until("ai"))["finish_reason"] != "cancelled"
            assert "secret" not in json.dumps(his.frames)

    play(scenario)


def test_62_the_list_tells_its_owner_alone_what_happens() -> None:
    async def scenario() -> None:
        async with guarded() as asked, joined(asked, asked.ann) as other_tab, joined(asked, asked.bob) as his:
            session = await said(asked, asked.ann, "a secret")
            line = await other_tab.until("session")
            assert line["id"] == session
            await his.send('{"type":"ping","cmd_id":"p"}')
            await his.until("pong")
            assert "session" not in his.types()

    play(scenario)


def test_62_a_name_of_ones_own_leads_to_ones_own_conversation() -> None:
    async def scenario() -> None:
        async with guarded() as asked, asked.server.http() as http:
            form = {"session_id": "notes", "message": "a secret"}
            assert (await http.post("/api/chat", data=form, headers=bearer(asked.ann))).status_code == 200
            await eventually(lambda: len(asked.server.recital.requests) == 1)
            session = (await http.get("/api/sessions", headers=bearer(asked.ann))).json()["sessions"][0]["id"]
            for name in ("notes", session):
                async with http.stream("GET", f"/api/stream/{name}?format=json", headers=bearer(asked.bob)) as stream:
                    assert stream.status_code == 200, "a name that nobody has is a new conversation"
                    async for line in stream.aiter_lines():
                        if line.startswith("data:"):
                            hello = json.loads(line.removeprefix("data:"))
                            assert (hello["head"], hello["session"] != session) == (0, True)
                            break
                answer = await http.post(
                    "/api/chat", json={"session_id": name, "message": "Hi"}, headers=bearer(asked.bob)
                )
                assert answer.json()["session_id"] != session
            assert "secret" not in (await http.get("/api/export", headers=bearer(asked.bob))).text

    play(scenario)


@pytest.mark.parametrize("window_s", [300, 0], ids=["in memory", "only stored"])
def test_62_importing_somebody_elses_export_makes_a_copy_and_touches_nothing_of_theirs(window_s: float) -> None:
    async def scenario() -> None:
        async with guarded(window_s=window_s) as asked, asked.server.http() as http:
            session = await said(asked, asked.ann, "a secret")
            await eventually(lambda: window_s or asked.server.hub.sessions.get(session) is None)
            document = (await http.get("/api/export", headers=bearer(asked.ann))).content
            came = await http.post("/api/import", content=document, headers=bearer(asked.bob))
            [copy] = came.json()["sessions"]
            assert copy != session, "two conversations of one id would stand in each other's way"
            async with joined(asked, asked.bob, f"&session={copy}") as his:
                await his.until("snapshot")
                async with joined(asked, asked.ann, f"&session={session}") as hers:
                    assert hers.session == session
            assert (await http.delete(f"/api/sessions/{copy}", headers=bearer(asked.bob))).status_code == 204
            assert (await http.get(f"/api/sessions/{session}", headers=bearer(asked.ann))).status_code == 200

    play(scenario)


def test_62_two_who_ask_for_one_id_at_once_do_not_get_in_each_others_way() -> None:
    async def scenario() -> None:
        async with guarded(window_s=0) as asked:
            session = await said(asked, asked.ann, "a secret")
            await eventually(lambda: asked.server.hub.sessions.get(session) is None)

            async def come(key: str) -> bool:
                async with joined(asked, key, f"&session={session}") as client:
                    return client.session == session

            keys = [asked.bob, asked.ann, asked.bob, asked.ann]
            assert await asyncio.gather(*map(come, keys)) == [False, True, False, True]

    play(scenario)


def test_62_two_keys_of_one_owner_share_their_conversations() -> None:
    async def scenario() -> None:
        async with guarded() as asked:
            second = add_key(asked.keys, "Ann's phone", owner=id_of(asked.ann))
            session = await said(asked, asked.ann, "for both")
            async with joined(asked, second, f"&session={session}") as client:
                assert client.session == session

    play(scenario)


def test_62_ids_are_128_random_bits() -> None:
    async def scenario() -> None:
        async with guarded() as asked:
            made = set()
            for _ in range(20):
                async with joined(asked, asked.bob) as client:
                    made.add(client.session)
            assert len(made) == 20
            assert all(re.fullmatch(r"[0-9a-f]{32}", session) for session in made)

    play(scenario)
