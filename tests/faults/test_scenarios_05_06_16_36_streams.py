"""Readers of server-sent events beside those of WebSockets: late, killed, slow, and told what looks like an event."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidMessage

from backends.base import Done
from tests.faults.backends import LENGTH, recital, text_of
from tests.faults.proxy import FaultProxy
from tests.faults.whole_server import Whole, play, say, whole
from tests.server.doubles import Client, Puppet, eventually, turn_over
from tests.server.event_source import Event, EventSource, TextPage
from tests.server.raw_client import raw_socket
from tests.server.serving import joined

LONG = "tests.faults.backends:LongRecital"
PUPPET = "tests.server.doubles:Puppet"
TEXT = text_of(recital("user: Go"))
LAST_CHUNK = b"\r\n0\r\n\r\n"
NASTY = [
    "\n\n",
    "data: x\n\n",
    "event: done\ndata: 1\n\n",
    "event: complete\n\n",
    "id: 1:1\n",
    ": no\n",
    "|",
    "\ufeff",
    "end",
]


class Page(TextPage):
    """A page with an EventSource, which goes on after every cut as that would. `address` is where it comes back to."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        super().__init__()
        self.http = http
        self.address = address
        self.cuts = 0

    async def follow(self, by_query: bool = False) -> AsyncGenerator[Event]:
        """The events of one connection, up to its end. Comes back by the header, or by the address."""
        headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id and not by_query else {}
        query = {"last_event_id": self.last_event_id} if self.last_event_id and by_query else {}
        source = EventSource(self.last_event_id)
        async with self.http.stream("GET", self.address, headers=headers, params=query) as response:
            assert response.status_code == 200
            async for data in response.aiter_raw():
                for event in source.take(data):
                    self.see(event)
                    yield event

    async def until_complete(self) -> None:
        """Follow until an answer is complete, however often the line is cut."""
        while not self.completed:
            with suppress(httpx.TransportError):
                async with aclosing(self.follow()) as events:
                    async for _ in events:
                        if self.completed:
                            return
            self.cuts += 1


def page_of(server: Whole, client: Client, http: httpx.AsyncClient) -> Page:
    return Page(http, f"/api/stream/{client.session}")


@pytest.mark.parametrize("by_query", [False, True], ids=["header", "query"])
def test_05_a_late_reader_of_events_gets_the_same_text_and_so_does_one_that_comes_back(by_query: bool) -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, joined(server.ws) as client, server.http() as http:
            server.recital.pace.hold()
            server.recital.pace.allow(LENGTH // 2)
            await client.send(say("Go"))
            await eventually(lambda: list(server.recital.said.values()) == [LENGTH // 2])
            page, cuts = page_of(server, client, http), 0
            server.recital.pace.allow(1)
            while not page.completed:
                async with aclosing(page.follow(by_query)) as events:
                    async for event in events:
                        server.recital.pace.allow(2)
                        if event.kind == "message" and cuts < 20:
                            cuts += 1
                            break
                        if page.completed:
                            break
            await client.until("ai")
            assert list(page.texts.values()) == client.answers() == [TEXT]
            assert list(page.completed.values()) == [1]
            assert cuts == 20

    play(scenario)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_06_twenty_readers_killed_at_random_all_end_with_the_same_text_and_one_end(seed: int) -> None:
    chance = random.Random(seed)

    async def read(url: str, client: Client) -> Client:
        """Read by a WebSocket until the answer has ended, coming back whenever the line is cut."""
        ends = 0
        while not ends:
            with suppress(ConnectionClosedError, InvalidMessage, OSError):  # it may be cut before it is open
                async with joined(url, client) as back:
                    back.frames = client.frames + back.frames
                    client = back
                    await back.until("ai")
            ends = client.types().count("ai")
        return client

    async def kill(proxy: FaultProxy, server: Whole) -> None:
        """Let the answer go on, and cut one line or another."""
        for _ in range(60):
            server.recital.pace.allow(2)
            await turn_over(8)
            alive = [link for link in proxy.links if not link.over.is_set()]
            if alive:
                chance.choice(alive).reset()
        server.recital.pace.free()

    async def scenario() -> None:
        async with whole(system_prompt="") as server, joined(server.ws) as asker, FaultProxy(server.ws) as proxy:
            server.recital.pace.hold()
            await asker.send(say("Go"))
            await asker.until("typing")
            ws = proxy.url
            base = ws.replace("ws://", "http://").removesuffix("/ws")
            async with AsyncExitStack() as stack:
                reading = []
                pages = []
                for _ in range(10):
                    client = Client()
                    client.session, client.epoch = asker.session, asker.epoch
                    reading.append(asyncio.create_task(read(ws, client)))
                    http = await stack.enter_async_context(server.http())
                    pages.append(Page(http, f"{base}/api/stream/{asker.session}"))
                following = [asyncio.create_task(page.until_complete()) for page in pages]
                await kill(proxy, server)
                clients = await asyncio.gather(*reading)
                await asyncio.gather(*following)
            await asker.until("ai")
            head = server.session(asker).head
            assert len(proxy.links) > 40, "lines must have been cut"
            for client in clients:
                assert (client.answers(), client.state.seq, client.types().count("ai")) == ([TEXT], head, 1)
            for page in pages:
                assert (list(page.texts.values()), list(page.completed.values())) == ([TEXT], [1])

    play(scenario)


def test_16_a_reader_of_events_that_stops_is_let_go_without_an_end_and_can_come_back() -> None:
    async def scenario() -> None:
        options = {"backends": [LONG], "subscriber_bytes": 20_000, "max_tokens": 10_000}
        async with whole(send_buffer=4096, **options) as server, joined(server.ws) as client, server.http() as http:
            session = server.session(client)
            raw = await raw_socket(server.ws)
            with raw:
                loop = asyncio.get_running_loop()
                head = (
                    f"GET /api/stream/{client.session} HTTP/1.1\r\nHost: {server.url.removeprefix('http://')}\r\n\r\n"
                )
                await loop.sock_sendall(raw, head.encode())
                await eventually(lambda: session.subscribers == 2)
                await client.send(say("Go"))
                await client.until("ai")
                assert session.subscribers == 1, "the slow one must be gone"
                received = b""
                while not received.endswith(LAST_CHUNK) and (data := await loop.sock_recv(raw, 65_536)):
                    received += data
            assert b"event: complete" not in received
            page = page_of(server, client, http)
            for event in EventSource().take(_unchunked(received)):
                page.see(event)
            assert 0 < len("".join(page.texts.values())) < len(client.answers()[0])
            await page.until_complete()
            assert list(page.texts.values()) == client.answers()
            await eventually(lambda: session.subscribers == 1)

    play(scenario)


def test_36_text_that_looks_like_events_arrives_as_it_is_and_forges_none() -> None:
    async def scenario() -> None:
        async with whole(backends=[PUPPET]) as server, joined(server.ws) as client, server.http() as http:
            puppet = server.backend("puppet")
            assert isinstance(puppet, Puppet)
            await client.send(say("Go"))
            page = page_of(server, client, http)
            following = asyncio.create_task(page.until_complete())
            await eventually(lambda: server.session(client).subscribers == 2)
            for token in NASTY:
                puppet.say(token)
                await turn_over()
            puppet.say(Done("stop"))
            await client.until("ai")
            await following
            assert list(page.texts.values()) == client.answers() == ["".join(NASTY)]
            assert list(page.completed.values()) == [1]

    play(scenario)


def test_36_line_ends_that_events_do_not_know_become_those_that_they_do() -> None:
    async def scenario() -> None:
        async with whole(backends=[PUPPET]) as server, joined(server.ws) as client, server.http() as http:
            puppet = server.backend("puppet")
            assert isinstance(puppet, Puppet)
            await client.send(say("Go"))
            puppet.say("a\r", "\nb\rc\r\rd\n", Done("stop"))
            await client.until("ai")
            page = page_of(server, client, http)
            await page.until_complete()
            assert client.answers() == ["a\r\nb\rc\r\rd\n"]
            assert list(page.texts.values()) == ["a\nb\nc\n\nd\n"]

    play(scenario)


def _unchunked(received: bytes) -> bytes:
    """The body of an answer in chunks, as far as it came."""
    received, body = received.partition(b"\r\n\r\n")[2], b""
    while received:
        size, _, received = received.partition(b"\r\n")
        body += received[: int(size, 16)]
        received = received[int(size, 16) + 2 :]
    return body
