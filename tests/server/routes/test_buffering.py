"""`GET /test-sse`: a page for people, and for its script a stream whose events say when they were sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from config import ROOT
from server.routes import buffering
from tests.server.doubles import PATIENCE_S
from tests.server.event_source import EventSource
from tests.server.serving import listening

STREAM = {"accept": "text/event-stream"}


@asynccontextmanager
async def door(every_s: float) -> AsyncGenerator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(buffering.buffering_router(ROOT / "static", every_s))
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
        yield client


def test_a_person_gets_a_page() -> None:
    async def scenario() -> None:
        async with door(0.0) as client:
            answer = await client.get("/test-sse")
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["vary"] == "accept"
            assert "Does the text arrive as it is sent?" in answer.text

    asyncio.run(scenario())


def test_the_events_say_when_they_were_sent_and_end_by_themselves() -> None:
    async def scenario() -> None:
        async with door(0.002) as client:
            answer = await client.get("/test-sse", headers=STREAM)
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            *ticks, complete = EventSource().take(answer.content)
            told = [json.loads(tick.data) for tick in ticks]
            assert [tick["number"] for tick in told] == list(range(1, buffering.EVENTS + 1))
            assert {tick["of"] for tick in told} == {buffering.EVENTS}
            sent = [tick["sent"] for tick in told]
            assert sent == sorted(sent)
            assert sent[-1] >= 2 * (buffering.EVENTS - 1)
            assert (complete.kind, complete.data) == ("complete", str(buffering.EVENTS))

    asyncio.run(scenario())


def test_each_event_goes_out_before_the_next_one_is_due() -> None:
    async def scenario() -> None:
        async with door(3_600.0) as client, client.stream("GET", "/test-sse", headers=STREAM) as answer:
            async with asyncio.timeout(PATIENCE_S):
                first = await anext(answer.aiter_bytes())
            [tick] = EventSource().take(first)
            assert json.loads(tick.data)["number"] == 1

    asyncio.run(scenario())
