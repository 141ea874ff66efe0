"""The server has no file descriptor left for another connection."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack

import pytest

from tests.server.program import Program, running
from tests.server.raw_client import dial, exchange, say, status_of
from tests.server.serving import joined

GET = b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
PROGRAMS = {"uvloop": "import uvloop", "asyncio": "import sys; sys.modules['uvloop'] = None"}
SPOKEN = "The system has nothing left for another connection."


def leave(server: Program, spare: int) -> None:
    """From now on the server may have only so many more descriptors than it has."""
    most = server.psutil.num_fds() + spare
    server.psutil.rlimit(resource.RLIMIT_NOFILE, (most, most))


async def alive(url: str) -> bool:
    try:
        async with asyncio.timeout(5):
            return status_of(await exchange(url, GET)) == 200
    except (ConnectionError, TimeoutError):
        return False


async def until_alive(url: str) -> None:
    async with asyncio.timeout(30):
        while not await alive(url):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # nobody tells when there is room again


@pytest.mark.parametrize("loop", PROGRAMS)
def test_47_without_descriptors_the_server_says_so_once_a_second_and_recovers(loop: str) -> None:
    program = f"{PROGRAMS[loop]}; import app, sys; sys.exit(app.main())"

    async def scenario() -> None:
        with running("-c", program) as server:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(joined(server.ws))
                leave(server, 3)
                began = time.monotonic()
                crowd = [stack.enter_context(await dial(server.url)) for _ in range(30)]
                for raw in crowd:
                    await say(raw, b"GET / HTTP/1.1\r\n")
                if loop == "asyncio":  # uvloop drops those it cannot take, without a word
                    await asyncio.to_thread(server.wait_for, SPOKEN)
                await client.send('{"message":"Hi"}')
                assert (await client.until("ai"))["message"] == "Hi"
                for raw in crowd:
                    raw.close()
                await until_alive(server.url)
                assert len(server.lines(SPOKEN)) <= time.monotonic() - began + 1
            async with joined(server.ws) as late:
                await late.send('{"message":"Hi"}')
                await late.until("ai")
            assert not server.lines("Traceback")

    asyncio.run(scenario())


def test_47_a_server_with_very_few_descriptors_keeps_some_back_and_refuses_in_words() -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); import app; sys.exit(app.main())"
    )

    async def scenario() -> None:
        with running("-c", limited) as server:
            async with AsyncExitStack() as stack:
                crowd = [stack.enter_context(await dial(server.url)) for _ in range(100)]
                assert len(crowd) == 100
                refused = await asyncio.gather(*(exchange(server.url, GET) for _ in range(3)), return_exceptions=True)
                assert {status_of(answer) for answer in refused if isinstance(answer, bytes)} <= {503, None}
            await until_alive(server.url)

    asyncio.run(scenario())
