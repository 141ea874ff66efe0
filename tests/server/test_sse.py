"""Events on the wire, and what stands in for them while there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from server.sse import EventStream
from tests.server.doubles import eventually

SOON_S = 0.01


def test_a_stream_begins_with_its_first_event_and_not_before() -> None:
    async def test() -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        stream = EventStream(send)
        assert (stream.begun, sent) == (False, [])
        await stream.data(b"one")
        await stream.finish()
        head, *bodies = sent
        assert stream.begun
        assert head["status"] == 200
        assert dict(head["headers"])[b"content-type"].startswith(b"text/event-stream")
        assert [(body["body"], body["more_body"]) for body in bodies] == [
            (b"data: one\n\n", True),
            (b"data: [DONE]\n\n", True),
            (b"", False),
        ]

    asyncio.run(test())


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def test() -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await EventStream(send, stalled_s=SOON_S).data(b"one")

    asyncio.run(test())


async def texts(silence: Callable[[EventStream], Awaitable[None]]) -> list[bytes]:
    """What is sent in one stream that is kept alive while `silence` lasts."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    stream = EventStream(send)
    async with stream.kept_alive(SOON_S):
        await silence(stream)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nobody pings any more"
    assert [message["type"] for message in sent[:1]] in ([], ["http.response.start"])
    return [message["body"] for message in sent[1:]]


def test_silence_is_filled_with_comments_which_begin_the_stream() -> None:
    async def silence(stream: EventStream) -> None:
        await eventually(lambda: stream.begun)

    assert set(asyncio.run(texts(silence))) == {b": ping\n\n"}


def test_events_are_as_good_as_comments() -> None:
    async def no_silence(stream: EventStream) -> None:
        for _ in range(3):
            await stream.data(b"one")

    assert asyncio.run(texts(no_silence)) == [b"data: one\n\n"] * 3


def test_what_goes_wrong_in_the_silence_is_raised() -> None:
    async def broken(stream: EventStream) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(texts(broken))


def test_a_comment_does_not_come_between_the_head_and_the_event_it_belongs_to() -> None:
    """Both may write at once: what the server takes slowly must still go out in order."""

    async def test() -> list[str]:
        sent: list[str] = []

        async def slow(message: Message) -> None:
            await asyncio.sleep(2 * SOON_S)
            sent.append(message["type"])

        stream = EventStream(slow)
        async with stream.kept_alive(SOON_S):
            await asyncio.gather(*(stream.data(b"one") for _ in range(3)))
        return sent

    head, *bodies = asyncio.run(test())
    assert head == "http.response.start"
    assert set(bodies) == {"http.response.body"}
    assert len(bodies) >= 3
