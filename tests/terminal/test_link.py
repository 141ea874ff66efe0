"""The line to the server: when it comes back, what it says again, and what it gives up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from terminal.address import Address
from terminal.conversation import Conversation
from terminal.frames import Ack, Event, Frame, Refused, System
from terminal.link import Gap, Link, retry_delay
from terminal.trouble import Misuse, NoServer, Trouble

HELLO = json.dumps({"type": "system", "session": "s", "epoch": "e", "head": 0, "message": "Connected"})
Scene = Callable[["Link", "Ear"], Coroutine[Any, Any, None]]
Handler = Callable[[ServerConnection], Awaitable[None]]


class Ear:
    """Keeps what the link tells, and folds it if there is a `conversation`."""

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.frames: list[Frame] = []
        self.delays: list[float] = []
        self.news = asyncio.Event()

    def heard(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.news.set()
        if self.conversation is None:
            return
        if isinstance(frame, System):
            self.conversation.greet(frame)
        elif isinstance(frame, Event) and self.conversation.apply(frame) == "gap":
            raise Gap

    def line_lost(self, delay: float) -> None:
        self.delays.append(delay)
        self.news.set()

    async def until(self, kind: type[Frame]) -> Frame:
        while True:
            for frame in self.frames:
                if isinstance(frame, kind):
                    return frame
            self.news.clear()
            await self.news.wait()


def talk(handler: Handler, scene: Scene) -> None:
    """Play `scene` with a link to a server that does as `handler` says."""

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            ear = Ear()
            link = Link(Address(f"http://127.0.0.1:{port}"), Conversation(), ear)
            line = asyncio.create_task(link.run())
            playing = asyncio.create_task(scene(link, ear))
            await asyncio.wait((line, playing), return_when=asyncio.FIRST_COMPLETED)
            for task in (line, playing):
                task.cancel()
            results = await asyncio.gather(line, playing, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "reason", "attempt", "least", "most"),
    [
        (1006, "", 0, 2.4, 3.6),
        (1006, "", 2, 9.6, 14.4),
        (1006, "", 50, 24, 36),
        (4408, "", 0, 0, 0),
        (4408, "", 1, 4.8, 7.2),
        (1012, "retry_after=1", 0, 1, 1.25),
        (4429, "retry_after=7.5", 3, 7.5, 9.375),
        (1013, "retry_after=999999", 0, 3600, 4500),
        (1013, "later", 0, 2.4, 3.6),
    ],
)
def test_it_waits_as_long_as_the_protocol_says(code: int, reason: str, attempt: int, least: float, most: float) -> None:
    for _ in range(20):
        assert least <= retry_delay(code, reason, attempt) <= most


def test_a_command_is_said_again_until_it_is_answered() -> None:
    said: list[dict[str, Any]] = []

    async def forgetful(socket: ServerConnection) -> None:
        await socket.send(HELLO)
        async for text in socket:
            said.append(json.loads(text))
            if len(said) == 1:
                await socket.close(4408)  # before it has answered
                return
            await socket.send(json.dumps({"type": "ack", "cmd_id": said[-1]["cmd_id"], "seq": 1, "duplicate": True}))

    async def scene(link: Link, ear: Ear) -> None:
        cmd_id = link.send({"type": "user", "message": "Hello"})
        ack = await ear.until(Ack)
        assert isinstance(ack, Ack)
        assert ack.cmd_id == cmd_id

    talk(forgetful, scene)
    assert len(said) == 2
    assert said[0] == said[1]


def test_it_comes_back_from_its_place_when_something_is_missing() -> None:
    asked: list[str] = []
    again = asyncio.Event()

    async def handler(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.append(socket.request.path)
        await socket.send(HELLO)
        if len(asked) == 2:
            again.set()
        for seq in (1, 3):
            await socket.send(json.dumps({"type": "notice", "seq": seq, "message": "Hello"}))
        await socket.wait_closed()

    async def scene(link: Link, ear: Ear) -> None:
        ear.conversation = link.conversation
        await again.wait()

    talk(handler, scene)
    assert asked == ["/ws", "/ws?session=s&epoch=e&after=1"]


@pytest.mark.parametrize("code", [4400, 4401, 4404])
def test_there_is_no_coming_back_from_some_goodbyes(code: int) -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send(HELLO)
        await socket.close(code)

    async def forever(link: Link, ear: Ear) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Trouble):
        talk(handler, forever)


def test_a_message_that_is_too_long_is_given_up_and_the_others_are_not() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send(HELLO)
        async for text in socket:
            if len(text) > 1000:
                await socket.close(1009)
                return

    async def scene(link: Link, ear: Ear) -> None:
        link.send({"type": "user", "message": "short"})
        long = link.send({"type": "user", "message": "x" * 2000})
        refused = await ear.until(Refused)
        assert isinstance(refused, Refused)
        assert (refused.cmd_id, refused.code) == (long, "message_too_long")

    talk(handler, scene)


def test_somebody_who_speaks_another_language_is_a_sentence() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send("Hello, is it me you are looking for?")
        await socket.wait_closed()

    async def forever(link: Link, ear: Ear) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Trouble, match="makes no sense"):
        talk(handler, forever)


def test_nobody_there_is_told_at_once_and_only_at_the_beginning() -> None:
    async def main() -> None:
        await Link(Address("http://127.0.0.1:9"), Conversation(), Ear()).run()

    with pytest.raises(NoServer, match="make serve"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "url", "socket"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws?a=b+c"),
        ("chat.example:81", "http://chat.example:81", "ws://chat.example:81/ws?a=b+c"),
        ("https://x.example/chat/", "https://x.example/chat", "wss://x.example/chat/ws?a=b+c"),
        ("[::1]:8000", "http://[::1]:8000", "ws://[::1]:8000/ws?a=b+c"),
    ],
)
def test_an_address_is_understood(given: str, url: str, socket: str) -> None:
    address = Address.read(given, "key")
    assert address.url == url
    assert address.socket(a="b c") == socket
    assert address.headers == {"authorization": "Bearer key"}


@pytest.mark.parametrize(("url", "key"), [("ftp://x", ""), ("http://", ""), ("http://x:port", ""), ("x", "a\nb")])
def test_what_is_no_address_is_refused(url: str, key: str) -> None:
    with pytest.raises(Misuse):
        Address.read(url, key)
