"""What becomes of an answer when its clients, its model or its commands do not behave."""

from __future__ import annotations

import asyncio
import json

from backends.base import Progress
from tests.faults.backends import LENGTH, recital, text_of
from tests.faults.proxy import FaultProxy
from tests.faults.whole_server import play, say, stored_answers, whole
from tests.server.doubles import Client, Puppet, eventually, turn_over
from tests.server.serving import joined

PUPPET = "tests.server.doubles:Puppet"
TEXT = text_of(recital("user: Go"))


def test_07_whoever_comes_back_while_the_model_loads_sees_it_load_and_can_stop_it() -> None:
    async def scenario() -> None:
        async with whole(backends=[PUPPET]) as server, FaultProxy(server.ws) as proxy:
            puppet = server.backend("puppet")
            assert isinstance(puppet, Puppet)
            async with joined(proxy.url) as client:
                await client.send(say("Go"))
                await client.until("typing")
                proxy.last.reset()
            puppet.say(Progress("loading", 10, 100))
            await eventually(lambda: puppet.requests)
            await turn_over()
            async with joined(proxy.url, client) as back:
                progress = await back.until("progress")
                assert (progress["phase"], progress["done"], progress["total"]) == ("loading", 10, 100)
                puppet.say("It ", "is")
                await back.until("delta")
                proxy.last.reset()
            async with joined(proxy.url, back) as again:
                await again.send('{"type":"stop","cmd_id":"s"}')
                assert (await again.until("ai"))["finish_reason"] == "cancelled"
                await again.send(say("Once more"))
                puppet.say(Progress("loading", 50, 100))
                await again.until("progress")
                await again.send('{"type":"stop","cmd_id":"t"}')
                assert (await again.until("ai"))["finish_reason"] == "cancelled"
                await eventually(lambda: len(puppet.cancelled) == 2)

    play(scenario)


def test_08_a_connection_lost_between_the_last_token_and_the_end_is_told_the_end() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, FaultProxy(server.ws) as proxy:
            server.recital.pace.hold()
            server.recital.pace.allow(LENGTH)
            async with joined(proxy.url) as client:
                await client.send(say("Go"))
                while client.answers() != [TEXT]:
                    await client.until("typing", "delta")
                proxy.last.reset()
            server.recital.pace.free()
            async with joined(proxy.url, client) as back:
                end = await back.until("ai")
                assert (end["message"], end["finish_reason"]) == (TEXT, "stop")
                assert back.seqs() == [server.session(back).head]

    play(scenario)


def test_09_one_command_sent_five_times_on_three_sockets_is_done_once() -> None:
    async def scenario() -> None:
        async with (
            whole() as server,
            joined(server.ws) as one,
            joined(server.ws, one) as two,
            joined(server.ws, one) as three,
        ):
            for client in (one, one, two, three, three):
                await client.send(say("Go", "same"))
            acks = [await client.until("ack") for client in (one, one, two, three, three)]
            assert len({ack["id"] for ack in acks}) == 1
            assert sorted(ack["duplicate"] for ack in acks) == [False, True, True, True, True]
            for client in (one, two, three):
                if "ai" not in client.types():
                    await client.until("ai")
                assert client.types().count("user") == 1
            assert len(server.recital.requests) == 1

    play(scenario)


def test_10_of_two_prompts_at_once_one_waits_and_nothing_of_them_interleaves() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as one, joined(server.ws, one) as two:
            server.recital.pace.hold()
            await asyncio.gather(one.send(say("Go", "a")), two.send(say("Go on", "b")))
            await one.until("queued")
            server.recital.pace.free()
            for client in (one, two):
                for _ in range(2):
                    await client.until("ai")
                runs = [frame["id"] for frame in client.frames if frame["type"] in ("typing", "delta", "ai")]
                assert runs == sorted(runs, key=runs.index), "an event of one answer came after the next had begun"
                assert client.types().count("user") == 2
                assert client.types().count("queued") == 1
            assert one.answers() == two.answers()
            assert len(set(one.answers())) == 2

    play(scenario)


def test_12_an_answer_nobody_watches_goes_on_for_a_while_and_is_then_abandoned_and_kept() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="", detach_timeout_s=0.05) as server, FaultProxy(server.ws) as proxy:
            server.recital.pace.hold()
            server.recital.pace.allow(50)
            async with joined(proxy.url) as client:
                await client.send(say("Go"))
                await client.until("delta")
                session = server.session(client)
                proxy.last.reset()
            said = server.recital.said
            await eventually(lambda: not session.subscribers)
            await eventually(lambda: list(said.values()) == [50])
            assert not server.recital.left, "it must go on while somebody may still come back"
            await eventually(lambda: server.recital.left)
            assert server.hub.active == 0
            async with joined(server.ws, client) as back:
                await back.until("ai")
                assert back.frames[-1]["finish_reason"] == "abandoned"
                assert back.answers() == [text_of(recital("user: Go")[:50])]
                assert await stored_answers(server, back) == back.answers()
                server.recital.pace.free()
                await back.send(say("Go on"))
                assert (await back.until("ai"))["finish_reason"] == "stop"

    play(scenario)


def test_14_characters_spread_over_tokens_arrive_whole_in_every_frame_and_after_every_cut() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, FaultProxy(server.ws) as proxy:
            client = Client()
            async with joined(proxy.url) as first:
                await first.send(say("Go"))
                server.recital.pace.hold()
                server.recital.pace.allow(1)
                await first.until("typing")
                client = first
            texts = [str(frame["message"]) for frame in client.frames if frame["type"] == "delta"]
            while "ai" not in client.types():
                async with joined(proxy.url, client) as back:
                    server.recital.pace.allow(2)
                    data = await back.until("delta", "ai")
                    texts += [str(frame["message"]) for frame in back.frames if frame["type"] == "delta"]
                    assert data["type"] in ("delta", "ai")
                    proxy.last.reset()
                    client = back
            assert client.answers() == [TEXT]
            assert "\N{REPLACEMENT CHARACTER}" not in json.dumps(client.frames, ensure_ascii=False)
            assert "".join(texts) == TEXT
            assert len(texts) > 50

    play(scenario)
