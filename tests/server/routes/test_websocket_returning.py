"""Coming and going: whoever comes back to `/ws` goes on where they were."""

from __future__ import annotations

import asyncio
import json

import pytest

from backends.base import Done, Progress
from backends.echo import EchoBackend
from server.options import HubOptions
from tests.server.doubles import Client, Puppet, eventually, turn_over
from tests.server.serving import joined, say, serving

WORDS = " ".join(f"word{number}" for number in range(60))


# Coming and going


def test_a_socket_cut_after_every_frame_leads_to_the_same_text_and_nothing_twice():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (hub, url):
            client = Client()
            async with joined(url) as first:
                await first.send(say("Go"))
                await first.until("typing")
                client = first
            seqs = client.seqs()
            for number in range(30):
                backend.say(f"line {number}\n")
                if number == 29:
                    backend.say(Done("stop"))
                async with joined(url, client) as again:
                    assert again.frames[0]["recovered"] is True
                    await again.until("delta")
                    seqs += again.seqs()
                    client = again
            async with joined(url, client) as last:
                await last.until("ai")
                assert last.types() == ["system", "ai"], "what came between the last token and the end is not lost"
                seqs += last.seqs()
                client = last
            assert seqs == list(range(1, hub.sessions.get(client.session).head + 1))
            assert client.answers() == ["".join(f"line {number}\n" for number in range(30))]

    asyncio.run(scenario())


def test_coming_back_at_every_place_gives_exactly_what_followed():
    async def scenario() -> None:
        async with serving([EchoBackend()], HubOptions(stream_flush_ms=0)) as (hub, url), joined(url) as whole:
            await whole.send(say(WORDS))
            answer = await whole.until("ai")
            head = hub.sessions.get(whole.session).head
            for after in range(head):
                place = Client()
                place.session, place.epoch = whole.session, whole.epoch
                for frame in whole.frames:
                    if "seq" in frame and frame["type"] != "ack" and int(str(frame["seq"])) <= after:
                        place.read(json.dumps(frame))
                async with joined(url, place) as back:
                    await back.until("ai")
                    assert back.seqs() == list(range(after + 1, head + 1))
                    assert back.answers() == [answer["message"]]

    asyncio.run(scenario())


@pytest.mark.parametrize("after", ["-1", "x", "", "1.5", "9223372036854775808", "99", "٣", "1" * 400])
def test_a_place_that_cannot_be_is_an_error_and_then_everything(after: str):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as client:
            await client.send(say("Hi"))
            await client.until("ai")
            query = f"?session={client.session}&epoch={client.epoch}&after={after}"
            async with joined(url + query) as back:
                await back.until("snapshot")
                assert back.types() == ["system", "error", "snapshot"]
                assert (back.frames[0]["recovered"], back.frames[1]["code"]) == (False, "bad_resume")
                assert back.answers() == ["Hi"]
                await back.send('{"type":"ping"}')
                await back.until("pong")

    asyncio.run(scenario())


@pytest.mark.parametrize("query", ["", "&epoch=other&after=2", "&after=2"])
def test_without_a_place_in_this_epoch_there_is_one_snapshot(query: str):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as client:
            await client.send(say("Hi"))
            await client.until("ai")
            async with joined(f"{url}?session={client.session}{query}") as back:
                await back.until("snapshot")
                expected = ["system", "error", "snapshot"] if query == "&after=2" else ["system", "snapshot"]
                assert back.types() == expected
                assert back.answers() == ["Hi"]

    asyncio.run(scenario())


def test_a_session_nobody_knows_is_said_before_the_new_one_begins():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(f"{url}?session=feedbeef&epoch=e&after=7") as client:
            assert client.types() == ["error", "system"]
            assert client.frames[0]["code"] == "unknown_session"
            assert client.session != "feedbeef"
            await client.send(say("Hi"))
            await client.until("ai")

    asyncio.run(scenario())


def test_two_tabs_see_the_same_stream_and_either_can_stop_it():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (_, url), joined(url) as one, joined(url, one) as two:
            await one.send(say("Tell me"))
            backend.say("Once ", "upon\n")
            for tab in (one, two):
                while tab.answers() != ["Once upon\n"]:
                    await tab.until("delta", "typing")
            await two.send('{"type":"stop","cmd_id":"s"}')
            ends = [await tab.until("ai") for tab in (one, two)]
            assert ends[0] == ends[1]
            assert (ends[0]["finish_reason"], ends[0]["message"]) == ("cancelled", "Once upon\n")
            await turn_over()
            assert backend.cancelled == [ends[0]["id"]]
            assert one.seqs() == two.seqs()

    asyncio.run(scenario())


def test_an_answer_goes_on_while_nobody_is_connected():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (_, url):
            async with joined(url) as client:
                await client.send(say("Go on"))
                await client.until("typing")
            backend.say("still ", "here", Done("stop"))
            async with joined(url, client) as back:
                assert (await back.until("ai"))["message"] == "still here"

    asyncio.run(scenario())


def test_a_model_that_loads_is_shown_to_whoever_comes_back_and_can_be_stopped():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (_, url):
            async with joined(url) as client:
                await client.send(say("Hi"))
                await client.until("typing")
            backend.say(Progress("loading", 10, 100))
            await eventually(lambda: backend.requests)
            await turn_over()
            async with joined(url, client) as back:
                progress = await back.until("progress")
                assert (progress["phase"], progress["done"], progress["total"]) == ("loading", 10, 100)
                await back.send('{"type":"stop"}')
                assert (await back.until("ai"))["finish_reason"] == "cancelled"

    asyncio.run(scenario())


def test_five_messages_during_an_answer_all_get_theirs_in_order():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (_, url), joined(url) as client:
            for number in range(6):
                await client.send(say(f"question {number}"))
            for number in range(6):
                backend.say(f"answer {number}", Done("stop"))
            for _ in range(6):
                await client.until("ai")
            assert client.types().count("queued") == 5
            assert client.answers() == [f"answer {number}" for number in range(6)]
            runs = [frame["id"] for frame in client.frames if frame["type"] in ("typing", "delta", "ai")]
            assert runs == sorted(runs, key=runs.index), "no event of one answer may come after the next began"
            parents = [frame.get("parent_id") for frame in client.frames if frame["type"] == "user"]
            answers = [frame["id"] for frame in client.frames if frame["type"] == "ai"]
            assert parents == [None, *answers[:-1]]

    asyncio.run(scenario())
