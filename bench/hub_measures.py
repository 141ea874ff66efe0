"""What is measured of a server of WebSockets, ours or the bare one: CPU a frame, memory a socket, round trips, returns.

Each measure is taken from outside: the clients stand in this process, the processor time and the memory are those that
the system counts for the server's. Knows the few words in which the two servers differ; knows nothing of tables.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from bench.process_meter import ProcessMeter
from bench.report import percentile
from bench.servers import Server
from bench.sockets import Socket, first_text, open_socket

PACE_MS = 2  # between two frames of an answer
PIECE = 12  # characters
AT_ONCE = 100  # connections that are opened together, where it does not matter
PINGS_AT_ONCE = 40  # more of them in a row are too much from one client
SEQ = re.compile(rb'"seq":(\d+)')
PATIENCE_S = 120.0


class Contestant(Protocol):
    """A server, and how it is spoken to."""

    url: str
    meter: ProcessMeter
    name: str

    async def audience(self, size: int) -> list[Socket]:
        """Sockets that will all hear what the first one asks for."""

    def recite(self, pieces: int, pace_ms: int, length: int) -> str:
        """Asks for that many frames."""

    def is_end(self, text: bytes) -> bool:
        """Whether that was the last of what was asked for."""

    def is_pong(self, text: bytes) -> bool:
        """Whether that answers `PING`."""


PING = '{"type":"ping"}'


@dataclass
class Bare:
    """`bench.bare`. `frame_bytes`: the length of ours, so that both send as much."""

    url: str
    meter: ProcessMeter
    frame_bytes: int
    name = "bare"

    async def audience(self, size: int) -> list[Socket]:
        return await opened([self.url] * size)

    def recite(self, pieces: int, pace_ms: int, length: int) -> str:
        return f"recite {pieces} {pace_ms} {self.frame_bytes - PIECE + length}"

    def is_end(self, text: bytes) -> bool:
        return text == b"over"

    def is_pong(self, text: bytes) -> bool:
        return text == PING.encode()


@dataclass
class Ours:
    """Switchboard with the backend `bench.reciter`."""

    url: str
    meter: ProcessMeter
    name = "ours"

    async def audience(self, size: int) -> list[Socket]:
        """All of them in one conversation."""
        first = await open_socket(self.url)
        session = json.loads(await first_text(first))["session"]
        return [first, *await opened([f"{self.url}?session={session}"] * (size - 1))]

    def recite(self, pieces: int, pace_ms: int, length: int) -> str:
        return json.dumps({"message": f"recite {pieces} {pace_ms} {length}"})

    def is_end(self, text: bytes) -> bool:
        return b'"type":"ai"' in text[:200]

    def is_pong(self, text: bytes) -> bool:
        return b'"pong"' in text


def websocket_url(server: Server) -> str:
    """Where a server takes WebSockets."""
    return server.address.replace("http", "ws") + "/ws"


async def opened(urls: list[str]) -> list[Socket]:
    """A socket for each address, a few at a time."""
    sockets: list[Socket] = []
    for start in range(0, len(urls), AT_ONCE):
        sockets += await asyncio.gather(*(open_socket(url) for url in urls[start : start + AT_ONCE]))
    return sockets


async def closed(sockets: list[Socket]) -> None:
    """Close all of them."""
    for start in range(0, len(sockets), AT_ONCE):
        await asyncio.gather(*(socket.close() for socket in sockets[start : start + AT_ONCE]))


# Frames


@dataclass(slots=True, frozen=True)
class Fanout:
    """`cpu_us`: the server's, for each frame that reached somebody. `frame_bytes`: how long a frame was."""

    cpu_us: float
    frame_bytes: int


async def fanout(contestant: Contestant, size: int, frames: int) -> Fanout:
    """What it costs to send an answer of so many frames to `size` sockets."""
    sockets = await contestant.audience(size)
    await settled(contestant.meter)
    before = contestant.meter.cpu_s()
    heard = await recited(contestant, sockets, frames, PACE_MS, PIECE)
    spent = contestant.meter.cpu_s() - before
    await closed(sockets)
    total = sum(len(each.times) for each in heard)
    return Fanout(spent / total * 1e6, heard[0].bytes // len(heard[0].times))


@dataclass
class Heard:
    """What one socket heard of an answer, and when: seconds on the clock of `time.perf_counter`.

    `missed` are the events of the log that it did not hear, between the first that it did and the last.
    """

    times: list[float]
    bytes: int = 0
    missed: int = 0
    seq: int | None = None

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


async def recited(contestant: Contestant, sockets: list[Socket], frames: int, pace_ms: int, length: int) -> list[Heard]:
    """Let the first socket ask, and all of them listen up to the end."""
    heard = []
    ends = []
    for socket in sockets:
        each, end = Heard([]), asyncio.get_running_loop().create_future()
        socket.listen(_listener(contestant, each, end))
        heard.append(each)
        ends.append(end)
    sockets[0].send(contestant.recite(frames, pace_ms, length))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*ends)
    return heard


def _listener(contestant: Contestant, heard: Heard, end: asyncio.Future[None]) -> Callable[[bytes], None]:
    def listen(text: bytes) -> None:
        heard.times.append(time.perf_counter())
        if found := SEQ.search(text):
            seq = int(found[1])
            heard.missed += seq - heard.seq - 1 if heard.seq is not None else 0
            heard.seq = seq
        if contestant.is_end(text):
            if not end.done():
                end.set_result(None)
        else:
            heard.bytes += len(text)

    return listen


async def settled(meter: ProcessMeter) -> None:
    """Wait until the server has done what it was asked before: for a moment it computes nothing to speak of."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            before = meter.cpu_s()
            await asyncio.sleep(0.25)
            if meter.cpu_s() - before < 0.01:
                return


# Memory


async def idle(contestant: Contestant, sizes: list[int]) -> dict[int, float]:
    """KiB of server memory for each of so many sockets that only stand there, all in conversations of their own."""
    sockets = await opened([contestant.url] * 20)  # what the first ones cost is not theirs
    await settled(contestant.meter)
    before, first = contestant.meter.holding().rss_kib, len(sockets)
    found = {}
    for size in sizes:
        sockets += await opened([contestant.url] * (first + size - len(sockets)))
        await settled(contestant.meter)
        found[size] = (contestant.meter.holding().rss_kib - before) / size
    await closed(sockets)
    return found


# Round trips


async def paced_round_trips(
    contestant: Contestant, clients: int = 20, each: int = 40, pace_s: float = 0.1
) -> list[float]:
    """Milliseconds from a ping to its answer, while others do the same now and then."""

    async def client(number: int) -> list[float]:
        socket = await open_socket(contestant.url)
        await asyncio.sleep(pace_s * (0.5 + number / clients))  # not all at the same moment
        took = []
        for _ in range(each):
            took.append(await _round_trip(contestant, socket))
            await asyncio.sleep(pace_s)
        await socket.close()
        return took

    return [took * 1000 for one in await asyncio.gather(*map(client, range(clients))) for took in one]


async def closed_loop(contestant: Contestant, clients: int = 50) -> float:
    """Round trips a second when each ping follows the answer before it, from one client after the other."""
    sockets = await opened([contestant.url] * clients)
    await settled(contestant.meter)
    began = time.perf_counter()
    for socket in sockets:
        for _ in range(PINGS_AT_ONCE):
            await _round_trip(contestant, socket)
    took = time.perf_counter() - began
    await closed(sockets)
    return clients * PINGS_AT_ONCE / took


async def _round_trip(contestant: Contestant, socket: Socket) -> float:
    answered = asyncio.get_running_loop().create_future()

    def on_text(text: bytes) -> None:
        if contestant.is_pong(text) and not answered.done():
            answered.set_result(None)

    socket.listen(on_text)
    began = time.perf_counter()
    socket.send(PING)
    await answered
    return time.perf_counter() - began


# Coming back


async def reconnects(ours: Ours, size: int) -> float:
    """Seconds until `size` clients of one live answer, all cut off at once, have every event again up to the newest."""
    sockets = await ours.audience(size)
    readers = [_Reader(socket) for socket in sockets]
    sockets[0].send(ours.recite(100_000, 20, PIECE))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(reader.reach(5) for reader in readers))
        for socket in sockets:
            socket.reset()
        began = time.perf_counter()
        await asyncio.gather(*(reader.come_back(ours) for reader in readers))
        took = time.perf_counter() - began
    readers[0].socket.send('{"type":"stop"}')
    await closed([reader.socket for reader in readers])
    return took


async def bare_reconnects(bare: Bare, size: int) -> float:
    """Seconds until `size` clients, all cut off at once, have heard something again."""
    for socket in await bare.audience(size):
        socket.reset()
    began = time.perf_counter()

    async def come_back() -> Socket:
        socket = await open_socket(bare.url)
        await first_text(socket)
        return socket

    async with asyncio.timeout(PATIENCE_S):
        sockets = await asyncio.gather(*(come_back() for _ in range(size)))
    took = time.perf_counter() - began
    await closed(sockets)
    return took


class _Reader:
    """Reads a log, and fails when an event is missing."""

    def __init__(self, socket: Socket) -> None:
        self.seq = 0
        self._hello: dict[str, Any] = {}
        self._target = 0
        self._reached: asyncio.Future[None] | None = None
        self._listen(socket)

    async def reach(self, seq: int) -> None:
        """Read on up to that event."""
        if self.seq < seq:
            self._target, self._reached = seq, asyncio.get_running_loop().create_future()
            await self._reached

    async def come_back(self, ours: Ours) -> None:
        """Connect again, and read what was missed."""
        query = f"?session={self._hello['session']}&epoch={self._hello['epoch']}&after={self.seq}"
        socket = await open_socket(ours.url + query)
        await first_text(socket)
        self._listen(socket)
        assert self._hello["recovered"], "whoever comes back goes on exactly where it was"
        await self.reach(self._hello["head"])

    def _listen(self, socket: Socket) -> None:
        self.socket = socket
        for text in socket.early:
            self._take(text)
        socket.listen(self._take)

    def _take(self, text: bytes) -> None:
        found = SEQ.search(text)
        if b'"epoch"' in text:
            message = json.loads(text)
            if message["type"] == "snapshot":
                self.seq = message["seq"]
            else:
                self._hello = message
        elif found is not None and int(found[1]) == self.seq + 1:
            self.seq += 1
        if self._reached is not None and not self._reached.done() and self.seq >= self._target:
            self._reached.set_result(None)


# One who does not read


@dataclass(slots=True, frozen=True)
class SlowReader:
    """99th percentiles of the gaps between frames, in ms; frames that the fast ones lost; the slow one's close code."""

    p99_ms: float
    p99_beside_ms: float
    lost: int
    close_code: int | None


async def slow_reader(ours: Ours, fast: int = 10, frames: int = 3000, length: int = 4096) -> SlowReader:
    """What becomes of `fast` readers when one beside them reads nothing."""
    sockets = await ours.audience(fast)
    alone = await recited(ours, sockets, frames, PACE_MS, length)
    await closed(sockets)
    *sockets, slow = await ours.audience(fast + 1)
    slow.pause()
    beside = await recited(ours, [*sockets], frames, PACE_MS, length)
    slow.resume()
    async with asyncio.timeout(PATIENCE_S):
        await slow.closed
    await closed(sockets)
    return SlowReader(_p99_ms(alone), _p99_ms(beside), sum(each.missed for each in beside), slow.close_code)


def _p99_ms(heard: list[Heard]) -> float:
    return percentile([gap for each in heard for gap in each.gaps], 99) * 1000
