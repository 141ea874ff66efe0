"""`GET /api/stream/…` over real sockets: clients that come late, return, stall or leave, and a server that ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from backends.base import Backend, BackendFailed, Done
from backends.echo import EchoBackend
from server.errors import add_error_handlers
from server.history.store import History
from server.hub import Hub
from server.options import HubOptions
from server.protocol import UserCommand
from server.routes.stream import stream_router
from server.session import Session
from tests.server.doubles import PATIENCE_S, Puppet, eventually, turn_over
from tests.server.event_source import Event, EventSource, TextPage
from tests.server.serving import listening

TEXT = ["Once ", "upon\r", "\na time|", " data: x\n\n", "event: complete\n\n", "😀 the end"]
READ = "".join(TEXT).replace("\r\n", "\n")


@asynccontextmanager
async def door(
    *backends: Backend,
    options: HubOptions | None = None,
    ping_every_s: float = 15.0,
    send_buffer: int | None = None,
    folder: Path | None = None,
) -> AsyncGenerator[tuple[Hub, httpx.AsyncClient]]:
    """A server on a free port, with a history in `folder`, if there is one. Gives its hub, and a client of it."""
    opener = (lambda: History.open("sqlite:///chats.db", folder)) if folder is not None else None
    hub = Hub(backends, options or HubOptions(stream_flush_ms=0), open_history=opener)
    await hub.start()
    app = FastAPI()
    app.include_router(stream_router(hub, ping_every_s))
    add_error_handlers(app)
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    async with listening(app, listener) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        try:
            yield hub, client
        finally:
            await hub.close()


class Stream:
    """An open stream, read as a browser would."""

    def __init__(self, response: httpx.Response) -> None:
        self.page = TextPage()
        self.source = EventSource()
        self.events: list[Event] = []
        self._bytes = response.aiter_raw()

    @property
    def text(self) -> str:
        """Of all answers."""
        return "".join(self.page.texts.values())

    async def until(self, done: Callable[[Stream], object]) -> None:
        """Read on until that is so, or the stream ends."""
        async with asyncio.timeout(PATIENCE_S):
            while not done(self):
                try:
                    received = await anext(self._bytes)
                except StopAsyncIteration:
                    return
                for event in self.source.take(received):
                    self.events.append(event)
                    self.page.see(event)

    async def until_complete(self) -> dict[str, str]:
        await self.until(lambda stream: stream.page.completed)
        return self.page.texts

    async def until_end(self) -> None:
        await self.until(lambda _: False)


@asynccontextmanager
async def stream(client: httpx.AsyncClient, session: Session, last_event_id: str = "") -> AsyncGenerator[Stream]:
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    async with client.stream("GET", f"/api/stream/{session.id}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Stream(response)


def within(test: Callable[[], Coroutine[object, object, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 3 * PATIENCE_S))


async def say(hub: Hub, message: str = "Tell me.") -> Session:
    session = hub.create()
    hub.execute(session, UserCommand(message=message))
    return session


def test_a_client_follows_an_answer_from_its_first_word_to_its_end() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            async with stream(client, session) as following:
                puppet.say(*TEXT, Done("stop"))
                texts = await following.until_complete()
            assert list(texts.values()) == [READ]
            assert following.events[-1].kind == "complete"
            assert following.events[-1].data in texts, "it says which answer is complete"

    within(test)


def test_late_and_early_clients_read_the_same_text() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            async with stream(client, session) as first:
                puppet.say(*TEXT[:3])
                await first.until(lambda each: each.text.endswith("a time|"))
                async with stream(client, session) as second:
                    puppet.say(*TEXT[3:], Done("stop"))
                    assert await second.until_complete() == await first.until_complete()
            async with stream(client, session) as third:
                assert await third.until_complete() == first.page.texts, "also when it was over before they came"

    within(test)


@pytest.mark.parametrize("in_address", [False, True])
def test_a_client_comes_back_with_its_last_id_by_header_or_address(in_address: bool) -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            async with stream(client, session) as first:
                puppet.say(*TEXT[:2])
                await first.until(lambda each: each.text.endswith("upon\n"))
            puppet.say(*TEXT[2:], Done("stop"))
            place = first.page.last_event_id
            asked = {"params": {"last_event_id": place}} if in_address else {"headers": {"last-event-id": place}}
            async with client.stream("GET", f"/api/stream/{session.id}", **asked) as response:  # type: ignore[arg-type]
                second = Stream(response)
                second.page = first.page
                await second.until_complete()
            assert list(first.page.texts.values()) == [READ]

    within(test)


def test_the_header_is_newer_than_the_address() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            puppet.say(*TEXT, Done("stop"))
            async with stream(client, session) as first:
                await first.until_complete()
            old, new = first.events[0].id, first.events[-2].id
            address = f"/api/stream/{session.id}?last_event_id={old}"
            async with client.stream("GET", address, headers={"last-event-id": new}) as response:
                second = Stream(response)
                await second.until_complete()
            assert [event.kind for event in second.events] == ["complete"]

    within(test)


async def messages(client: httpx.AsyncClient, session: Session, last: str, last_event_id: str = "") -> list[Event]:
    """What a client of whole messages is sent, up to one of the type `last`."""
    source, events = EventSource(), list[Event]()
    asked = {"format": "json", "last_event_id": last_event_id}
    async with client.stream("GET", f"/api/stream/{session.id}", params=asked) as response:
        async for received in response.aiter_raw():
            events += source.take(received)
            if last in [event.kind for event in events]:
                break
    return events


def test_messages_are_sent_whole_when_they_are_asked_for() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            puppet.say(*TEXT[:3])
            reading = asyncio.create_task(messages(client, session, "ai"))
            await eventually(lambda: session.subscribers)
            puppet.say(*TEXT[3:], Done("stop"))
            fresh = await reading
            assert [event.kind for event in fresh[:2]] == ["system", "snapshot"], "first where it is, then all there is"
            assert {event.kind for event in fresh[2:]} == {"delta", "ai"}
            assert all(json.loads(event.data)["type"] == event.kind for event in fresh)
            assert fresh[-1].id == f"{session.epoch}:{session.head}"
            returning = await messages(client, session, "ai", f"{session.epoch}:{session.head - 2}")
            assert [event.kind for event in returning] == ["system", "delta", "ai"], "only what it does not have"
            assert json.loads(returning[0].data)["recovered"]
            elsewhere = await messages(client, session, "snapshot", "f00:1")
            assert not json.loads(elsewhere[0].data)["recovered"], "another epoch always means a snapshot"

    within(test)


def test_a_failed_answer_is_complete_too() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            session = await say(hub)
            puppet.say("Some. ", BackendFailed("It broke."))
            async with stream(client, session) as following:
                texts = await following.until_complete()
            assert list(texts.values()) == ["Some. \n\n⚠️ **Model generation failed**\n\nIt broke."]

    within(test)


def test_a_client_may_choose_a_name_before_anything_is_said() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            async with client.stream("GET", "/api/stream/my-session_1") as response:
                following = Stream(response)
                hub.execute(await hub.open_named("my-session_1"), UserCommand(message="Hi"))
                puppet.say(*TEXT, Done("stop"))
                assert list((await following.until_complete()).values()) == [READ]
            for name in ("x" * 65, "a.b", "%20"):
                refused = await client.get(f"/api/stream/{name}")
                assert refused.status_code == 404
                assert refused.json()["error"] == "A conversation's name is 1 to 64 letters, digits, - and _."

    within(test)


@pytest.mark.parametrize("told", ["nonsense", "1", "e:1:2", "e:-1"])
def test_an_id_that_no_event_had_is_refused(told: str) -> None:
    async def test() -> None:
        async with door(Puppet()) as (hub, client):
            session = hub.create()
            for asked in ({"params": {"last_event_id": told}}, {"headers": {"last-event-id": told}}):
                response = await client.get(f"/api/stream/{session.id}", **asked)  # type: ignore[arg-type]
                assert response.status_code == 400
                assert response.json()["error"] == "That is no event id of this server. Leave it out to begin anew."
            ahead = await client.get(f"/api/stream/{session.id}?last_event_id={session.epoch}:1")
            assert (ahead.status_code, ahead.json()["error"]) == (400, "That event id is ahead of the conversation.")
            assert session.subscribers == 0

    within(test)


def test_silence_is_filled_with_comments() -> None:
    async def test() -> None:
        async with door(Puppet(), ping_every_s=0.01) as (hub, client):
            async with stream(client, hub.create()) as following:
                await following.until(lambda each: each.source.comments >= 3)
            assert following.events == []

    within(test)


def test_a_client_that_leaves_frees_its_subscriber() -> None:
    async def test() -> None:
        async with door(Puppet()) as (hub, client):
            session = hub.create()
            async with stream(client, session):
                await eventually(lambda: session.subscribers == 1)
            await eventually(lambda: session.subscribers == 0)

    within(test)


def test_a_client_that_reads_nothing_is_sent_away_and_can_come_back() -> None:
    async def test() -> None:
        puppet, piece = Puppet(), "x" * 1023 + "\n"
        options = HubOptions(subscriber_bytes=16_384, stream_flush_ms=0)
        async with door(puppet, options=options, send_buffer=4096) as (hub, client):
            session = await say(hub)
            raw = await stalled(client, session)
            async with stream(client, session) as quick:
                await eventually(lambda: session.subscribers == 2)
                connections = hub.connections
                for written in range(1, 1025):
                    puppet.say(piece)
                    await quick.until(lambda each, n=written: len(each.text) >= 1024 * n)  # type: ignore[misc]
                    if session.subscribers == 1:
                        break
                assert session.subscribers == 1, "the slow one is let go of"
                await eventually(lambda: len(connections._streams) == 1)
                puppet.say(Done("stop"))
                whole = await quick.until_complete()
            received = await read_all(raw)
            page = TextPage()
            for event in EventSource().take(received):
                page.see(event)
            assert page.completed == {}, "its stream ends without a word of the answer's end"
            async with stream(client, session, page.last_event_id) as back:
                back.page = page
                assert await back.until_complete() == whole

    within(test)


async def stalled(client: httpx.AsyncClient, session: Session) -> socket.socket:
    """A client with next to no buffer that asks, and reads nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (client.base_url.host, client.base_url.port))
    request = f"GET /api/stream/{session.id} HTTP/1.0\r\nHost: {client.base_url.host}\r\n\r\n"
    await loop.sock_sendall(raw, request.encode())
    await eventually(lambda: session.subscribers == 1)
    return raw


async def read_all(raw: socket.socket) -> bytes:
    """What it was sent, up to the end of the connection."""
    received = b""
    with raw:
        async with asyncio.timeout(PATIENCE_S):
            try:
                while piece := await asyncio.get_running_loop().sock_recv(raw, 65_536):
                    received += piece
            except ConnectionResetError:
                pass
    received, chunks = received.partition(b"\r\n\r\n")[2], b""
    while received:
        size, _, received = received.partition(b"\r\n")
        chunks += received[: int(size, 16)]
        received = received[int(size, 16) + 2 :]
    return chunks


def test_a_text_goes_on_at_the_same_character_in_another_life_of_the_server(tmp_path: Path) -> None:
    async def test() -> None:
        question = "".join(f"{number}\r\n|data: " for number in range(60))
        async with door(EchoBackend(delay=0.01), folder=tmp_path) as (hub, client):
            session = await hub.open_named("my-chat")
            hub.execute(session, UserCommand(message=question))
            async with stream(client, session) as first:
                await first.until(lambda each: "20\n" in each.text)
                await hub.close()
                await first.until_end()
        assert first.page.completed == {}
        async with door(EchoBackend(), folder=tmp_path) as (hub, client):
            session = await hub.open_named("my-chat")
            async with stream(client, session, first.page.last_event_id) as second:
                second.page = first.page
                await second.until_complete()
            assert list(first.page.texts.values()) == [question.replace("\r", "")]
            assert list(first.page.completed.values()) == [1]

    within(test)


def test_streams_end_with_the_server_and_without_a_word() -> None:
    async def test() -> None:
        puppet = Puppet()
        async with door(puppet) as (hub, client):
            idle, busy = hub.create(), await say(hub)
            async with stream(client, idle) as waiting, stream(client, busy) as following:
                puppet.say("Half ")
                await following.until(lambda each: each.events)
                await hub.close()
                await waiting.until_end()
                await following.until_end()
            assert waiting.events == []
            assert list(following.page.texts.values()) == ["Half "]
            assert idle.subscribers == busy.subscribers == 0

    within(test)


def test_what_was_said_while_the_first_words_were_held_back_comes_with_them() -> None:
    async def test() -> None:
        puppet = Puppet()
        options = HubOptions(stream_flush_ms=0, subscriber_bytes=1_000)
        async with door(puppet, options=options) as (hub, client):
            session = hub.create()
            async with stream(client, session) as following:
                await eventually(lambda: session.subscribers)
                hub.execute(session, UserCommand(message="Tell me."))
                for _ in range(20):
                    puppet.say("word " * 20)
                    await turn_over()
                puppet.say(Done("stop"))
                await following.until_complete()
                assert following.text == "word " * 400, "it did not count as slow"

    within(test)
