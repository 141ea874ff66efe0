"""A bad line between a client and a server: a TCP proxy that delays, throttles, cuts, freezes and damages what passes.

Knows bytes, and where one WebSocket frame ends; nothing of what they mean. A test holds it while it runs: every fault
can be set, changed and taken back at any moment, for one direction of one connection or for all that are still to come.
Reading stops while writing is held up, so a frozen line fills the sender's window as a real one would.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from tests.faults.frames import FrameCounter

CHUNK = 65_536
NOW = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time, so that to close is to reset


@dataclass(slots=True)
class Faults:
    """What is wrong with one direction. `None` and 0: nothing. Counts are of bytes or frames since the connection."""

    delay: float = 0.0  # seconds that each chunk is held back
    rate: float | None = None  # bytes a second
    reset_after: int | None = None  # bytes that still pass, and then both ends are reset
    reset_after_frames: int | None = None  # the same in whole WebSocket frames
    end_after: int | None = None  # bytes that still pass, and then this direction ends, while the other stays open
    flip: dict[int, int] = field(default_factory=dict)  # at which byte, and which of its bits


class Lane:
    """One direction of one connection. `faults` may be changed at any time."""

    def __init__(self, faults: Faults, reset: Callable[[], None]) -> None:
        self.faults = faults
        self.passed = 0  # bytes
        self.ended = False
        self._frames = FrameCounter()
        self._reset = reset
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def frames(self) -> int:
        """Whole frames that have passed."""
        return self._frames.count

    def freeze(self) -> None:
        """Let nothing through until `thaw`. Nobody is told: not a byte, not an end, not a reset."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes from one end to the other until this direction ends."""
        while not self.ended:
            data = await reader.read(self._chunk())
            await self._thawed.wait()
            if not data:
                break
            if self.faults.delay:
                await asyncio.sleep(self.faults.delay)
                await self._thawed.wait()
            await self._pass(data, writer)
        self.ended = True
        if writer.can_write_eof():
            writer.write_eof()

    def _chunk(self) -> int:
        """With a rate, small pieces: a fiftieth of a second's worth."""
        return CHUNK if self.faults.rate is None else max(1, min(CHUNK, int(self.faults.rate / 50)))

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        room, then_reset = self._room(data)
        data = self._damaged(data[:room])
        self.passed += len(data)
        self._frames.feed(data)
        writer.write(data)
        if then_reset:
            self._reset()
            return
        await writer.drain()
        await self._thawed.wait()
        if self.faults.rate is not None:
            await asyncio.sleep(len(data) / self.faults.rate)

    def _room(self, data: bytes) -> tuple[int, bool]:
        """How many bytes of `data` may pass, and whether the connection is reset then."""
        faults, room, reset = self.faults, len(data), False
        if faults.reset_after_frames is not None:
            place = self._frames.place_of(data, faults.reset_after_frames)
            if place is not None:
                room, reset = place, True
        if faults.reset_after is not None and faults.reset_after - self.passed <= room:
            room, reset = max(0, faults.reset_after - self.passed), True
        if faults.end_after is not None and faults.end_after - self.passed <= room:
            room, self.ended = max(0, faults.end_after - self.passed), True
        return room, reset

    def _damaged(self, data: bytes) -> bytes:
        hit = {at - self.passed: bits for at, bits in self.faults.flip.items() if 0 <= at - self.passed < len(data)}
        if not hit:
            return data
        damaged = bytearray(data)
        for at, bits in hit.items():
            damaged[at] ^= bits
        return bytes(damaged)


class Link:
    """One connection through the proxy. `up`: from the client to the server; `down`: back."""

    def __init__(self, up: Faults, down: Faults) -> None:
        self.up = Lane(up, self.reset)
        self.down = Lane(down, self.reset)
        self.over = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    def freeze(self) -> None:
        """Let nothing through in either direction."""
        self.up.freeze()
        self.down.freeze()

    def thaw(self) -> None:
        self.up.thaw()
        self.down.thaw()

    def reset(self) -> None:
        """Break it off: both ends see a reset. What was written before may still be read."""
        for writer in self._writers:
            transport_socket = writer.get_extra_info("socket")
            if transport_socket is not None and not writer.transport.is_closing():
                transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
            writer.transport.abort()
        self.up.ended = self.down.ended = True
        self.thaw()

    async def carry(self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: tuple[str, int]) -> None:
        """Join a client with the server until both directions have ended."""
        self._writers.append(client[1])
        try:
            server = await asyncio.open_connection(*target)
            self._writers.append(server[1])
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(_until_broken(self.up.carry(client[0], server[1]), self.reset))
                lanes.create_task(_until_broken(self.down.carry(server[0], client[1]), self.reset))
        except OSError:
            self.reset()  # nobody listens behind the proxy
        finally:
            for writer in self._writers:
                writer.close()
            self.over.set()


class FaultProxy:
    """Listens on a free port and passes every connection on to `target`, the address of a server.

    `up` and `down` are the faults that the next connections begin with.
    """

    def __init__(self, target: str) -> None:
        self.up = Faults()
        self.down = Faults()
        self.links: list[Link] = []
        self.refusing = False
        self._target = urlsplit(target)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's address, by way of the proxy."""
        return urlunsplit(self._target._replace(netloc=f"127.0.0.1:{self.port}"))

    @property
    def last(self) -> Link:
        """The connection that came last."""
        return self.links[-1]

    def retarget(self, target: str) -> None:
        """Pass the next connections on to another server: the one before was started anew on another port."""
        self._target = urlsplit(target)

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for link in self.links:
            link.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(_copy(self.up), _copy(self.down))
        self.links.append(link)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refusing:
            link._writers.append(writer)
            link.reset()
            return
        host, port = self._target.hostname, self._target.port
        assert host is not None
        assert port is not None
        await link.carry((reader, writer), (host, port))


def _copy(faults: Faults) -> Faults:
    return replace(faults, flip=dict(faults.flip))


async def _until_broken(carrying: Coroutine[object, object, None], reset: Callable[[], None]) -> None:
    """A direction that breaks takes the other with it, as it does on a real line."""
    try:
        await carrying
    except OSError:
        reset()
