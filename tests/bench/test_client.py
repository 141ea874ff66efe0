"""The measuring client: what it makes of streams, and of the real server's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from bench.client import Answer, RequestFailed, complete, parse_events

STREAM = b': ping\n\ndata: {"n": 1}\n\ndata: {"n": "\xc3\xa4"}\r\n\r\ndata: [DONE]\n\n'


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_may_be_cut_anywhere(size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(STREAM), size):
            yield STREAM[start : start + size]

    async def events() -> list[dict[str, object]]:
        return [event async for event in parse_events(chunks())]

    assert asyncio.run(events()) == [{"n": 1}, {"n": "ä"}]


def test_tokens_are_shared_out_by_letters() -> None:
    answer = Answer(0.0, (1.0, 2.0, 4.0), ("ab", "cdef", "gh"), 5.0, prompt_tokens=3, completion_tokens=4)
    assert answer.text == "abcdefgh"
    assert answer.first_token_s == 1
    assert answer.gaps == [1, 2]
    assert answer.tokens_between(1.0, 4.0) == 3, "What comes at the start itself is not after it."


def test_the_real_server_is_understood(serve: Callable[..., str]) -> None:
    answer = asyncio.run(complete(serve(), "one two three", 16))
    assert answer.text
    assert answer.completion_tokens > 0
    assert answer.sent < answer.times[0] <= answer.ended


def test_a_refusal_says_why(serve: Callable[..., str]) -> None:
    with pytest.raises(RequestFailed, match="not_a_field"):
        asyncio.run(complete(serve(), "one", 4, {"not_a_field": 1}))
