"""The client that comes back, against a hub whose sockets break."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from backends.echo import EchoBackend
from bench.returning import Lost, ReturningClient
from tests.server.serving import serving

WORDS = " ".join(map(str, range(60)))


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def texts(client: ReturningClient) -> list[str]:
    return [message.message for message in client.messages]


def test_it_goes_on_where_it_was_however_often_the_socket_breaks() -> None:
    async def scenario() -> None:
        async with (
            serving([EchoBackend(delay=0.005)]) as (hub, url),
            ReturningClient(port_of(url)).staying() as client,
        ):
            cmd_id = await client.say(WORDS, {"max_tokens": 100})
            for number in range(3):
                await client.until(lambda number=number: len("".join(texts(client)[1:])) > number * 30)
                await hub.connections.close_all(1012, "")
            await client.until(lambda: len(texts(client)) == 2 and texts(client)[1] == WORDS)
            assert client.acknowledged(cmd_id)
            assert client.comebacks == 3
            async with ReturningClient(port_of(url), client.session).staying() as other:
                await other.until(lambda: other.messages == client.messages)

    asyncio.run(scenario())


def test_what_was_not_acknowledged_is_said_again_and_done_once() -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), ReturningClient(port_of(url)).staying() as client:
            await hub.connections.close_all(1012, "")
            cmd_id = await client.say("Hello", {})
            await client.until(lambda: client.acknowledged(cmd_id))
            await client.until(lambda: texts(client) == ["Hello", "Hello"])

    asyncio.run(scenario())


def test_a_conversation_that_is_gone_is_no_silent_new_one() -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url):
            with pytest.raises(Lost, match="gone"):
                async with ReturningClient(port_of(url), "0" * 32).staying() as client:
                    await client.until(lambda: client.comebacks >= 0)

    asyncio.run(scenario())
