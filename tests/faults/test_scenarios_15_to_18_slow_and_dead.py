"""Clients that stop reading, fall silent, or read for a long time: nobody else is any the worse for them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.faults.proxy import FaultProxy
from tests.faults.whole_server import play, say, whole
from tests.server.doubles import Client, eventually
from tests.server.raw_client import read_to_the_close, slow_socket
from tests.server.serving import joined

LONG = "tests.faults.backends:LongRecital"
BOUND = 20_000  # bytes a reader may be behind
BUFFERS = 160_000  # what the kernel and the transport hold besides, at the most


def test_15_one_reader_that_stops_is_sent_away_while_ten_get_everything() -> None:
    async def scenario() -> None:
        async with (
            whole(send_buffer=4096, backends=[LONG], subscriber_bytes=BOUND, max_tokens=10_000) as server,
            joined(server.ws) as first,
            AsyncExitStack() as stack,
        ):
            others = [await stack.enter_async_context(joined(server.ws, first)) for _ in range(9)]
            session = server.session(first)
            raw = await slow_socket(server.ws, first.query)
            await eventually(lambda: session.subscribers == 11)
            await first.send(say("Go"))
            ends = await asyncio.gather(*(reader.until("ai") for reader in (first, *others)))
            assert all(end == ends[0] for end in ends)
            assert all(reader.seqs() == list(range(1, session.head + 1)) for reader in (first, *others))
            assert session.bytes > BOUND + BUFFERS, "there must be more to read than anybody keeps for a reader"
            assert session.subscribers == 10, "the slow one must be gone"
            texts, code = await read_to_the_close(raw)
            assert code == 4408
            assert sum(map(len, texts)) < BOUND + BUFFERS
            slow = Client()
            for text in texts:
                slow.read(text)
            seen = slow.seqs()
            async with joined(server.ws, slow) as back:
                await back.until("ai")
                assert back.frames[0]["recovered"] is True
                assert seen + back.seqs() == list(range(1, session.head + 1))

    play(scenario)


def test_17_a_silent_peer_is_found_out_and_nothing_of_it_stays() -> None:
    async def scenario() -> None:
        async with whole(ping_s=0.2) as server, FaultProxy(server.ws) as proxy, joined(server.ws) as witness:
            await witness.send(say("Go"))
            await witness.until("ai")
            session = server.session(witness)
            tasks = len(asyncio.all_tasks())
            async with joined(proxy.url, witness):
                await eventually(lambda: session.subscribers == 2)
                proxy.last.freeze()  # no end, no reset: the line is as good as dead
                await eventually(lambda: session.subscribers == 1)
                await eventually(lambda: len(server.hub.connections.active_connections) == 1)
                assert not proxy.last.over.is_set(), "the peer must not have said anything"
                proxy.last.thaw()
            await proxy.last.over.wait()
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
            await witness.send(say("Go on"))
            await witness.until("ai")

    play(scenario)


def test_17_a_peer_that_hears_but_cannot_be_heard_is_found_out_too() -> None:
    async def scenario() -> None:
        async with whole(ping_s=0.2) as server, FaultProxy(server.ws) as proxy, joined(proxy.url) as client:
            proxy.last.up.freeze()
            assert await client.until_closed() == 1011
            await eventually(lambda: not server.hub.connections.active_connections)

    play(scenario)


def test_18_five_messages_during_an_answer_and_a_long_read_do_not_end_the_connection() -> None:
    async def scenario() -> None:
        async with whole(ping_s=0.1) as server, FaultProxy(server.ws) as proxy, joined(proxy.url) as client:
            server.recital.pace.hold()
            for number in range(6):
                await client.send(say(f"Go {number}"))
            for _ in range(5):
                await client.until("queued")
            reading = asyncio.create_task(client.until_closed())
            said = proxy.last.up.frames
            await eventually(lambda: proxy.last.up.frames >= said + 10)  # pongs: the connection lives on
            server.recital.pace.free()
            await eventually(lambda: client.types().count("ai") == 6)
            assert not reading.done()
            assert len(set(client.answers())) == 6
            reading.cancel()
            await asyncio.wait({reading})

    play(scenario)
