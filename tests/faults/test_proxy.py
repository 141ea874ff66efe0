"""The bad line does what it is told, and else carries every byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from backends.echo import EchoBackend
from tests.faults.frames import FrameCounter
from tests.faults.proxy import FaultProxy, Faults
from tests.server.doubles import PATIENCE_S, eventually
from tests.server.serving import serving

TALE = bytes(range(256)) * 400
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers the first byte with a tale, and whatever comes then with itself."""
    try:
        await reader.readexactly(1)
        writer.write(TALE)
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@asynccontextmanager
async def line() -> AsyncGenerator[FaultProxy]:
    server = await asyncio.start_server(tell, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy(f"http://127.0.0.1:{port}/path?query") as proxy:
        assert proxy.url == f"http://127.0.0.1:{proxy.port}/path?query"
        yield proxy
    server.close()


def over_a_line(scenario: Callable[[FaultProxy], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S), line() as proxy:
            await scenario(proxy)

    asyncio.run(bounded())


async def dial(proxy: FaultProxy) -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"!")
    return reader, writer


async def read_to_the_end(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """All that came, and whether it ended in a reset."""
    received = b""
    try:
        while data := await reader.read(65_536):
            received += data
    except ConnectionResetError:
        return received, True
    return received, False


def test_without_faults_every_byte_arrives_both_ways() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        reader, writer = await dial(proxy)
        writer.write(b"more")
        writer.write_eof()
        assert await read_to_the_end(reader) == (TALE + b"more", False)
        assert (proxy.last.up.passed, proxy.last.down.passed) == (5, len(TALE) + 4)
        writer.close()
        await proxy.last.over.wait()

    over_a_line(scenario)


@pytest.mark.parametrize("count", [0, 1, 1000, 70_000])
def test_a_reset_comes_after_exactly_so_many_bytes(count: int) -> None:
    async def scenario(proxy: FaultProxy) -> None:
        proxy.down = Faults(reset_after=count)
        reader, writer = await dial(proxy)
        assert await read_to_the_end(reader) == (TALE[:count], True)
        writer.close()

    over_a_line(scenario)


def test_one_direction_may_end_while_the_other_goes_on() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        proxy.up = Faults(end_after=3)
        reader, writer = await dial(proxy)
        writer.write(b"abcdef")
        assert await read_to_the_end(reader) == (TALE + b"ab", False)
        writer.close()

    over_a_line(scenario)


def test_bits_are_flipped_where_it_was_told() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        proxy.down = Faults(flip={0: 1, 65_537: 0x80})
        reader, writer = await dial(proxy)
        received = await reader.readexactly(len(TALE))
        wrong = [at for at in range(len(TALE)) if received[at] != TALE[at]]
        assert wrong == [0, 65_537]
        assert (received[0], received[65_537]) == (TALE[0] ^ 1, TALE[65_537] ^ 0x80)
        writer.close()

    over_a_line(scenario)


def test_a_frozen_line_carries_nothing_and_nobody_is_told() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        reader, writer = await dial(proxy)
        assert await reader.readexactly(len(TALE)) == TALE
        proxy.last.up.freeze()
        writer.write(b"ab")
        await writer.drain()
        writer.write_eof()
        proxy.last.up.faults.delay = 0.001
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        proxy.last.thaw()
        assert await read_to_the_end(reader) == (b"ab", False)
        writer.close()

    over_a_line(scenario)


def test_delay_and_rate_are_kept() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        loop = asyncio.get_running_loop()
        proxy.up = Faults(delay=0.05)
        proxy.down = Faults(rate=len(TALE) * 10)
        began = loop.time()
        reader, writer = await dial(proxy)
        await reader.readexactly(1)
        assert loop.time() - began >= 0.05
        await reader.readexactly(len(TALE) - 1)
        assert loop.time() - began >= 0.05 + 0.07
        writer.close()

    over_a_line(scenario)


def test_a_line_can_be_broken_at_any_moment_and_refused_from_then_on() -> None:
    async def scenario(proxy: FaultProxy) -> None:
        reader, writer = await dial(proxy)
        await reader.readexactly(len(TALE))
        proxy.last.reset()
        assert await read_to_the_end(reader) == (b"", True)
        writer.close()
        proxy.refusing = True
        reader, writer = await dial(proxy)
        assert await read_to_the_end(reader) == (b"", True)
        writer.close()

    over_a_line(scenario)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_websocket_is_cut_between_two_frames(count: int) -> None:
    async def scenario() -> None:
        async with serving([EchoBackend()]) as (hub, url), FaultProxy(url) as proxy:
            proxy.down = Faults(reset_after_frames=count)
            received = []
            async with connect(proxy.url, compression=None) as socket:
                await socket.send('{"message": "one two three"}')
                with suppress(ConnectionClosedError):
                    while True:
                        received.append(await socket.recv())
            assert len(received) == proxy.last.down.frames == count
            await eventually(lambda: not hub.connections.active_connections)

    asyncio.run(scenario())


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_are_counted_however_the_bytes_are_cut(step: int) -> None:
    masked, long = b"\x81\xfe\x01\x00mask" + b"x" * 256, b"\x82\x7f" + (256).to_bytes(8) + b"y" * 256
    frames = [b"\x81\x03abc", b"\x89\x00", masked, long]
    data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b"".join(frames)
    counter, ends, at = FrameCounter(), [], 0
    while at < len(data):
        piece = data[at : at + step]
        while (place := counter.place_of(piece, len(ends) + 1)) is not None:
            ends.append(at + place)
        counter.feed(piece)
        at += len(piece)
    head = data.index(b"\r\n\r\n") + 4
    assert ends == [head + sum(map(len, frames[: number + 1])) for number in range(4)]
    assert counter.count == 4
