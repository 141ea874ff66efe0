"""How the server's process ends: told to, told twice, killed, and what the next one makes of it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect

from tests.faults.backends import LENGTH, recital, text_of
from tests.faults.whole_server import say
from tests.server.doubles import Client
from tests.server.program import ROOT, Program, running
from tests.server.serving import SocketClient, joined

MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
UNHURRIED = "tests.faults.unhurried:Unhurried"
TEXT = text_of(recital("user: Go"))
LEAVES_WITHIN_S = 10  # of what should be a moment


@pytest.fixture
def settings(tmp_path: Path) -> Mapping[str, str]:
    """What two lives of a server have in common."""
    return {
        "BACKENDS": UNHURRIED,
        "SYSTEM_PROMPT": "",
        "STREAM_FLUSH_MS": "0",
        "FLUSH_INTERVAL_MS": "20",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'conversations.db'}",
    }


async def halfway(client: SocketClient, text: str = "Go") -> None:
    """Ask, and read some of the answer."""
    await client.send(say(text))
    for _ in range(LENGTH // 10):
        await client.until("delta")


async def read_events(http: httpx.AsyncClient, method: str, path: str, body: object = None) -> list[str]:
    """The lines of an event stream, up to its end."""
    async with http.stream(method, path, json=body) as answer:
        return [line async for line in answer.aiter_lines() if line]


def no_children_of(processes: list[psutil.Process]) -> bool:
    return not [process for process in processes if process.is_running() and process.status() != "zombie"]


async def whole_answer(url: str, client: Client) -> str:
    """What the answer comes to in another life of the server, read to its end."""
    async with joined(url, client) as back:
        await back.until("snapshot")
        while not any(node.role == "ai" and node.finish_reason for node in back.state.nodes.values()):
            await back.until("delta", "ai", "error", "snapshot")
        [answer] = back.answers()
        return answer


SAID = {"messages": [{"role": "user", "content": "Go"}], "stream": True, "max_tokens": LENGTH}
STREAMS: list[tuple[str, dict[str, object], str]] = [  # where, what is asked, and how a stream of it ends
    ("/v1/completions", {"prompt": "Go", "stream": True, "max_tokens": LENGTH}, "data: [DONE]"),
    ("/v1/chat/completions", SAID, "data: [DONE]"),
    (
        "/generate",
        {"prompt": "Go", "params": {"max_tokens": LENGTH}},
        f'data: {{"done":true,"total_tokens":{LENGTH}}}',
    ),
]


def test_41_told_to_stop_twenty_streams_are_brought_to_their_ends_and_nothing_new_begins(
    settings: Mapping[str, str],
) -> None:
    async def scenario() -> None:
        with running(**settings) as server:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=20))
                clients = [await stack.enter_async_context(joined(server.ws)) for _ in range(8)]
                followed = [read_events(http, "GET", f"/api/stream/{client.session}") for client in clients[:6]]
                asked = [read_events(http, "POST", path, body) for path, body, _ in STREAMS * 2]
                streams = [asyncio.create_task(reading) for reading in (*followed, *asked)]
                await asyncio.gather(*(halfway(client) for client in clients))
                children = server.psutil.children(recursive=True)

                server.send(signal.SIGTERM)
                await asyncio.gather(*(draining(client) for client in clients))
                ready = await http.get("/health/ready")
                assert (ready.status_code, ready.json()["reason"]) == (503, "The server is shutting down.")
                assert (await http.get("/health/live")).status_code == 200
                assert (await http.get("/")).status_code == 200
                assert (await http.post("/v1/completions", json={"prompt": "Go"})).status_code == 503
                await clients[0].send(say("And now?", "late"))
                refused = await clients[0].until("error")
                assert (refused["code"], refused["cmd_id"]) == ("overloaded", "late")

                codes = await asyncio.gather(*(client.until_closed() for client in clients))
                assert set(codes) == {1012}
                assert {client.socket.close_reason for client in clients} == {"retry_after=1"}
                assert [client.answers() for client in clients] == [[TEXT]] * 8
                for reading in streams[:6]:
                    assert "event: complete" in await reading
                for reading, (path, _, end) in zip(streams[6:], STREAMS * 2, strict=True):
                    assert (await reading)[-1] == end, path
                assert await asyncio.to_thread(server.status) == 0
                assert no_children_of(children)
                assert not server.lines("Traceback")

    async def draining(client: SocketClient) -> None:
        while (await client.until("system")).get("state") != "draining":
            pass

    asyncio.run(scenario())


def test_41_what_does_not_end_in_time_is_put_down_and_goes_on_in_the_next_life(settings: Mapping[str, str]) -> None:
    async def scenario() -> None:
        with running(**settings, DRAIN_TIMEOUT_S="0") as server:
            async with joined(server.ws) as client:
                await halfway(client)
                server.send(signal.SIGTERM)
                assert await client.until_closed() == 1012
                assert await asyncio.to_thread(server.status) == 0
        assert client.answers() != [TEXT]
        with running(**settings) as server:
            assert await whole_answer(server.ws, client) == TEXT

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("signals", "status"),
    [([signal.SIGTERM] * 2, 143), ([signal.SIGINT] * 2, 130), ([signal.SIGKILL], -9)],
    ids=["SIGTERM twice", "SIGINT twice", "SIGKILL"],
)
def test_42_hurried_or_killed_in_mid_answer_it_goes_on_in_the_next_life(
    settings: Mapping[str, str], signals: list[signal.Signals], status: int
) -> None:
    async def scenario() -> None:
        with running(**settings) as server:
            async with connect(server.ws, compression=None, max_queue=None) as socket:
                client = SocketClient(socket)
                await client.until("system")
                await halfway(client)
                children = server.psutil.children(recursive=True)
                began = time.monotonic()
                server.send(signals[0])
                for sig in signals[1:]:
                    await client.until("system")
                    server.send(sig)
                assert await asyncio.to_thread(server.status) == status
                assert time.monotonic() - began < LEAVES_WITHIN_S
                assert no_children_of(children)
                assert not server.lines("Traceback")
        assert client.answers() != [TEXT]
        with running(**settings) as server:
            assert await whole_answer(server.ws, client) == TEXT

    asyncio.run(scenario())


@pytest.mark.skipif(not MODEL.exists(), reason="NO EMBEDDED MODEL, so this was not tested. Run make model.")
@pytest.mark.parametrize("loaded", [False, True], ids=["while it loads", "when it is loaded"])
def test_42_interrupted_with_a_model_it_leaves_soon_and_no_child_stays(loaded: bool, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    with ExitStack() as stack:
        server = stack.enter_context(running(BACKENDS="pytorch", DATABASE_URL=database, TORCH_THREADS="1"))
        if loaded:
            until_ready(server)
        children = server.psutil.children(recursive=True)
        began = time.monotonic()
        server.send(signal.SIGINT)
        assert server.status() == 0
        assert time.monotonic() - began < LEAVES_WITHIN_S
        assert no_children_of(children)


def until_ready(server: Program) -> None:
    with httpx.Client(base_url=server.url) as http:
        while http.get("/health/ready").status_code != 200:
            time.sleep(0.05)  # nobody tells from outside
