from __future__ import annotations

import asyncio
import json
import socket
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backends.echo import EchoBackend
from server.options import HubOptions
from server.protocol import NoticeEvent
from tests.server.doubles import Client, ManualClock, Puppet, eventually
from tests.server.raw_client import read_to_the_close, slow_socket
from tests.server.serving import joined, say, serving

WORDS = " ".join(f"word{number}" for number in range(60))


# The oldest client


def test_a_client_that_knows_only_messages_gets_system_user_typing_and_ai():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), connect(url) as socket:
            seen = []
            await socket.send('{"message":"What is Python?"}')
            while "ai" not in [kind for kind, _ in seen]:
                frame = json.loads(await socket.recv())
                if frame["type"] in ("system", "user", "typing", "ai"):
                    seen.append((frame["type"], frame["message"]))
            assert seen == [
                ("system", "Connected to chat server..."),
                ("user", "What is Python?"),
                ("typing", "AI is typing..."),
                ("ai", "What is Python?"),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize("blank", ['{"message":""}', '{"message":" \\n "}', '{"type":"user","message":""}'])
def test_a_blank_message_without_an_id_is_passed_over(blank: str):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as client:
            await client.send(blank)
            await client.send('{"type":"ping"}')
            await client.until("pong")
            assert client.types() == ["system", "pong"]
            assert hub.sessions.get(client.session).head == 0

    asyncio.run(scenario())


def test_who_comes_while_nothing_can_be_saved_is_told():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            hub.recorder.failing("The disk is full.")
            async with joined(url) as client:
                news = await client.until("system")
                assert news["state"] == "history_off"
                assert news["message"] == "Conversations are not being saved. The disk is full."

    asyncio.run(scenario())


# Commands


def test_a_typed_command_is_acknowledged_with_the_ids_it_led_to():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as client:
            await client.send(say("Hi", "c1"))
            ack = await client.until("ack")
            user = await client.until("user")
            assert ack == {"type": "ack", "cmd_id": "c1", "id": user["id"], "seq": 1, "duplicate": False}
            assert user["cmd_id"] == "c1"
            answer = await client.until("ai")
            assert (answer["id"], answer["parent_id"]) == (user["run"], user["id"])
            assert answer["model"] == "echo/echo"

    asyncio.run(scenario())


def test_a_command_sent_five_times_on_three_sockets_is_done_once():
    async def scenario() -> None:
        async with (
            serving([EchoBackend()]) as (_, url),
            joined(url) as one,
            joined(url, one) as two,
            joined(url, one) as three,
        ):
            for client in (one, one, two, three, three):
                await client.send(say("Once", "same"))
            acks = [await client.until("ack") for client in (one, one, two, three, three)]
            assert len({ack["id"] for ack in acks}) == 1
            assert sorted(ack["duplicate"] for ack in acks) == [False, True, True, True, True]
            for client in (one, two, three):
                if "ai" not in client.types():
                    await client.until("ai")
                assert client.types().count("user") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["regenerate", "continue", "select", "remove"])
def test_a_command_about_a_message_that_is_not_there_is_refused(kind: str):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as client:
            await client.send(json.dumps({"type": kind, "id": "x", "cmd_id": "c"}))
            error = await client.until("error")
            assert (error["code"], error["cmd_id"]) == ("not_found", "c")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "bad_json"),
        ("[]", "bad_message"),
        ("null", "bad_message"),
        ('{"type":"dance"}', "unknown_type"),
        ('{"type":"user"}', "bad_message"),
        ('{"message":7}', "bad_message"),
        ('{"message":"x","params":{"temperature":1e400}}', "bad_json"),
        ('{"message":"x","params":{"temperature":NaN}}', "bad_json"),
        ("[" * 10_000, "bad_json"),
        ('{"type":"user","message":"  ","cmd_id":"c"}', "bad_message"),
        ('{"type":"user","message":"' + "x" * 101 + '","cmd_id":"c"}', "message_too_long"),
        ('{"type":"user","message":"x","cmd_id":"c","parent_id":"nobody"}', "not_found"),
        ('{"type":"stop","id":"nobody","cmd_id":"c"}', "not_found"),
        (b"\x00\x01", "bad_message"),
    ],
)
def test_a_bad_frame_is_answered_and_the_socket_stays_open(frame: str | bytes, code: str):
    async def scenario() -> None:
        options = HubOptions(max_message_chars=100)
        async with serving([EchoBackend()], options) as (_, url), joined(url) as client:
            await client.socket.send(frame)
            error = await client.until("error")
            assert error["code"] == code
            assert error["message"]
            assert "seq" not in error
            await client.send('{"type":"ping","cmd_id":"p"}')
            assert (await client.until("pong"))["cmd_id"] == "p"

    asyncio.run(scenario())


def test_twenty_bad_frames_in_a_row_close_the_socket_and_a_good_one_between_does_not():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as client:
            for _ in range(19):
                await client.send("{")
            await client.send('{"type":"ping"}')
            await client.until("pong")
            for _ in range(20):
                await client.send("{")
            assert await client.until_closed() == 4400
            assert client.types().count("error") >= 19

    asyncio.run(scenario())


def test_a_flood_is_first_refused_and_then_closed():
    async def scenario() -> None:
        async with serving([EchoBackend()], clock=ManualClock()) as (_, url), joined(url) as client:
            for number in range(90):
                await client.send(f'{{"type":"ping","cmd_id":"{number}"}}')
            assert await client.until_closed() == 4429
            assert client.socket.close_reason == "retry_after=5"
            refused = [frame for frame in client.frames if frame["type"] == "error"]
            assert {frame["code"] for frame in refused} == {"rate_limited"}
            assert float(str(refused[0]["retry_after"])) > 0
            answered = [frame["cmd_id"] for frame in client.frames if frame["type"] in ("pong", "error")]
            assert answered == [str(number) for number in range(len(answered))], "each answer says to what"

    asyncio.run(scenario())


# Slow and broken clients


def test_a_client_that_does_not_read_is_sent_away_while_the_others_get_everything():
    async def scenario() -> None:
        options = HubOptions(subscriber_bytes=50_000)
        async with serving([EchoBackend()], options, send_buffer=4096) as (hub, url), joined(url) as first:
            session = hub.sessions.get(first.session)
            async with joined(url, first) as second:
                raw = await slow_socket(url, first.query)
                await eventually(lambda: session.subscribers == 3)
                for number in range(300):
                    session.publish(NoticeEvent(message=f"{number} " + "x" * 1000))
                    await first.until("notice")
                    await second.until("notice")
                assert first.seqs() == second.seqs() == list(range(1, 301))
                assert session.subscribers == 2, "the slow one must be gone from the session"
                texts, code = await read_to_the_close(raw)
                assert code == 4408
                slow = Client()
                for text in texts:
                    slow.read(text)
                assert 0 < slow.state.seq < 300
                async with joined(url, slow) as back:
                    while back.state.seq < 300:
                        await back.until("notice")
                    assert back.frames[0]["recovered"] is True
                    assert back.seqs() == list(
                        range(slow.state.seq + 1 if not slow.seqs() else slow.seqs()[-1] + 1, 301)
                    )

    asyncio.run(scenario())


def test_a_reset_connection_is_forgotten_and_leaves_no_task_behind():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), joined(url) as witness:
            before = len(asyncio.all_tasks())
            raw = await slow_socket(url, witness.query)
            session = hub.sessions.get(witness.session)
            await eventually(lambda: session.subscribers == 2)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            await eventually(lambda: len(hub.connections.active_connections) == 1)
            await eventually(lambda: len(asyncio.all_tasks()) <= before)
            assert session.subscribers == 1
            await witness.send(say("Still there?"))
            await witness.until("ai")

    asyncio.run(scenario())


def test_a_thousand_visits_leave_next_to_nothing_behind():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            for _ in range(10):
                clients = await asyncio.gather(*(connect(url, compression=None) for _ in range(30)))
                await asyncio.gather(*(client.recv() for client in clients))
                await asyncio.gather(*(client.close() for client in clients))
            await eventually(lambda: not hub.connections.active_connections)
            assert len(hub.sessions) <= 100

    asyncio.run(scenario())


def test_closing_while_the_server_sends_ends_without_a_word(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        async with serving([EchoBackend()], HubOptions(stream_flush_ms=0)) as (hub, url):
            for frames in range(1, 8):
                async with joined(url) as client:
                    await client.send(say(WORDS))
                    for _ in range(frames):
                        await client.socket.recv()
            await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_the_server_going_down_closes_every_socket_with_1012_and_keeps_the_partial_answer():
    async def scenario() -> None:
        backend = Puppet()
        async with serving([backend]) as (hub, url), joined(url) as client:
            await client.send(say("Hi"))
            backend.say("Hel")
            await client.until("delta")
            closing = asyncio.create_task(hub.close())
            assert await client.until_closed() == 1012
            assert client.socket.close_reason == "retry_after=1"
            await closing
            assert client.frames[-1]["type"] == "ai"
            assert client.frames[-1]["finish_reason"] == "interrupted"
            assert client.answers() == ["Hel"]

    asyncio.run(scenario())


# Who may connect


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_a_foreign_page_or_host_is_refused_before_the_handshake(headers: dict[str, str], status: int):
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == status
            assert hub.connections.active_connections == []

    asyncio.run(scenario())


def test_the_own_page_may_connect():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url):
            origin = url.replace("ws://", "http://").removesuffix("/ws")
            async with connect(url, origin=origin) as socket:
                assert json.loads(await socket.recv())["type"] == "system"

    asyncio.run(scenario())


def test_a_frame_over_the_limit_closes_with_1009_and_harms_nobody_else():
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (_, url), joined(url) as big, joined(url) as small:
            await big.send(say("x" * 70_000))
            assert await big.until_closed() == 1009
            await small.send(say("Hi"))
            await small.until("ai")

    asyncio.run(scenario())
