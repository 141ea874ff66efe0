"""Clients that were cut off and come back, at every place and with every claim."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode

from tests.faults.backends import recital, text_of
from tests.faults.proxy import FaultProxy, Faults
from tests.faults.whole_server import history_in, play, say, whole
from tests.server.doubles import Client, eventually
from tests.server.serving import SocketClient, joined

TEXT = text_of(recital("user: Go"))


async def read_until_cut(client: SocketClient) -> None:
    with suppress(ConnectionClosedError):
        while True:
            client.read(str(await client.socket.recv()))
    assert client.socket.close_code == CloseCode.ABNORMAL_CLOSURE, "it was closed, not cut"


def at(whole_log: Client, seq: int) -> Client:
    """A client that has seen everything up to `seq`."""
    place = Client()
    place.session, place.epoch = whole_log.session, whole_log.epoch
    for frame in whole_log.frames:
        if frame["type"] not in ("ack", "snapshot") and int(str(frame.get("seq", seq + 1))) <= seq:
            place.read(json.dumps(frame))
    return place


def test_01_a_client_reset_in_mid_answer_gets_exactly_what_it_missed() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, FaultProxy(server.ws) as proxy:
            proxy.down = Faults(reset_after_frames=61)
            server.recital.pace.hold()
            async with joined(proxy.url) as client:
                await client.send(say("Go"))
                server.recital.pace.allow(57)
                reading = asyncio.create_task(read_until_cut(client))
                while not reading.done():  # the frames that cross the line besides the events are not counted
                    server.recital.pace.allow(1)
                    await asyncio.wait({reading}, timeout=0.001)
            proxy.down = Faults()
            server.recital.pace.free()
            seen, seq = client.seqs(), client.state.seq
            async with joined(proxy.url, client) as back:
                await back.until("ai")
                assert back.frames[0]["recovered"] is True
                assert 50 < seq < 120
                assert seen + back.seqs() == list(range(1, server.session(back).head + 1))
                assert back.answers() == [TEXT]

    play(scenario)


def test_01_coming_back_at_every_place_gives_what_followed_once_each() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, joined(server.ws) as complete:
            await complete.send(say("Go"))
            await complete.until("ai")
            head = server.session(complete).head
            assert head > 150, "the tokens must not all have been sent together"
            for after in range(head + 1):
                async with joined(server.ws, at(complete, after)) as back:
                    while back.state.seq < head:
                        await back.until("user", "typing", "delta", "ai")
                    assert back.frames[0]["recovered"] is True
                    assert back.seqs() == list(range(after + 1, head + 1))
                    assert back.answers() == [TEXT]

    play(scenario)


def test_02_a_client_away_for_longer_than_the_window_gets_one_snapshot_and_then_what_is_new() -> None:
    async def scenario() -> None:
        async with whole(system_prompt="", window_events=20) as server:
            server.recital.pace.hold()
            async with joined(server.ws) as client:
                await client.send(say("Go"))
                await client.until("typing")
                server.recital.pace.allow(150)
                async with joined(server.ws, client) as witness:
                    while server.session(client).head < 60:
                        await witness.until("delta")
                    away = at(client, 2)
                    async with joined(server.ws, away) as back:
                        assert back.frames[0]["recovered"] is False
                        await back.until("snapshot")
                        assert back.types().count("snapshot") == 1
                        assert back.seqs() == []
                        server.recital.pace.free()
                        await back.until("ai")
                        assert back.types().count("snapshot") == 1
                        assert back.seqs()[-1] == server.session(back).head
                        assert back.answers() == [TEXT]

    play(scenario)


@pytest.mark.parametrize("answering", [False, True])
def test_03_a_place_in_another_life_of_the_server_is_answered_by_a_snapshot_alone(answering: bool) -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, joined(server.ws) as client:
            await client.send(say("Go"))
            await client.until("typing" if answering else "ai")
            client.epoch = "feedbeeffeedbeef"
            async with joined(server.ws, client) as back:
                assert back.frames[0]["recovered"] is False
                await back.until("snapshot")
                assert back.types()[:2] == ["system", "snapshot"]
                while server.session(back).head != back.state.seq:
                    await back.until("delta", "ai")
                assert back.answers() == [
                    str(node.content) for node in server.session(back).state.nodes.values() if node.role == "ai"
                ]

    play(scenario)


@pytest.mark.parametrize(
    "claim",
    ["after=-1&epoch={}", "after=x&epoch={}", "after=9223372036854775808&epoch={}", "after=5000&epoch={}", "after=2"],
)
def test_04_a_place_that_cannot_be_is_an_error_and_the_connection_stays(claim: str) -> None:
    async def scenario() -> None:
        async with whole(system_prompt="") as server, joined(server.ws) as client:
            await client.send(say("Go"))
            await client.until("ai")
            query = f"?session={client.session}&{claim.format(client.epoch)}"
            async with joined(server.ws + query) as back:
                assert (await back.until("error"))["code"] == "bad_resume"
                await back.until("snapshot")
                assert back.answers() == [TEXT]
                await back.send(say("Again"))
                await back.until("ai")

    play(scenario)


@pytest.mark.parametrize("tokens", [0, 1, 70, 200])
def test_03_a_client_of_the_life_before_gets_a_snapshot_out_of_the_history_and_the_answer_goes_on(
    tokens: int, tmp_path: Path
) -> None:
    url = history_in(tmp_path)

    async def scenario() -> None:
        async with whole(system_prompt="", database_url=url, drain_timeout_s=0) as server:
            server.recital.pace.hold()
            server.recital.pace.allow(tokens)
            async with joined(server.ws) as client:
                await client.send(say("Go"))
                await client.until("ack")
                await eventually(lambda: list(server.recital.said.values()) == [tokens])
        async with whole(system_prompt="", database_url=url) as server, joined(server.ws, client) as back:
            assert back.session == client.session
            assert back.epoch != client.epoch
            assert back.frames[0]["recovered"] is False
            assert "snapshot" in back.types() or await back.until("snapshot")
            while back.state.seq < server.session(back).head or server.session(back).state.snapshot("", "").running:
                await back.until("typing", "delta", "ai")
            assert back.answers() == [TEXT]
            assert back.types().count("snapshot") == 1
            assert back.state.snapshot("", "") == server.session(back).state.snapshot("", "")
            assert server.recital.said == ({back.frames[-1]["id"]: 200 - tokens})

    play(scenario)


def test_03_a_conversation_that_no_life_knows_is_said_to_be_unknown() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(f"{server.ws}?session={'f' * 32}&epoch=e&after=7") as client:
            assert client.types() == ["error", "system"]
            assert client.frames[0]["code"] == "unknown_session"
            assert client.session != "f" * 32
            await client.send(say("Go"))
            await client.until("ai")

    play(scenario)
