"""A stand-in for a model server: real sockets, recorded answers, and any misbehaviour a test asks for.

It answers as its recordings say, unless a test has told it with `will` what the next answer at a path is. A `Reply` is
a list of steps, so that an answer can be cut anywhere, dripped, stalled or broken off.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Self


class Act(Enum):
    """A step of a reply other than bytes to send."""

    STALL = "say nothing until the client leaves"
    CUT = "close the connection in the middle of the body"
    RESET = "break the connection off"


@dataclass(slots=True, frozen=True)
class Reply:
    """An answer: each bytes of `steps` is one chunk on the wire, a number is a pause in seconds."""

    status: int = 200
    content_type: str = "application/x-ndjson"
    steps: Sequence[bytes | float | Act] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> bytes:
        return b"".join(step for step in self.steps if isinstance(step, bytes))

    def split(self, size: int) -> Reply:
        """The same body in chunks of `size` bytes."""
        return replace(self, steps=[self.body[start : start + size] for start in range(0, len(self.body), size)])

    def upto(self, size: int, *then: bytes | float | Act) -> Reply:
        """The body's first `size` bytes, and then something else."""
        return replace(self, steps=[self.body[:size], *then])

    def upto_piece(self, count: int, *then: bytes | float | Act) -> Reply:
        """The first `count` lines or events, and then something else."""
        return replace(self, steps=[*self.steps[:count], *then])


@dataclass(slots=True, frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    body: dict[str, object]
    headers: dict[str, str]


@dataclass(slots=True, frozen=True)
class Exchange:
    """A recorded request, where the recording names one, and its reply."""

    method: str
    path: str
    body: dict[str, object]
    reply: Reply


def read_exchange(file: Path) -> Exchange:
    """What was recorded in `file`: the reply is in as many steps as there are lines, or events."""
    recorded = file.read_bytes()
    head, _, body = recorded.replace(b"\r\n", b"\n").partition(b"\n\n")
    comment, _, head = head.partition(b"\n") if head.startswith(b"#") else (b"", b"", head)
    status_line, *header_lines = head.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in header_lines)
    if "Content-Length" in headers:
        body = body[: int(headers["Content-Length"])]
    found = re.fullmatch(r"# (\w+) (\S+) ?(.*)", comment.decode())
    method, path, asked = found.groups() if found else ("", "", "")
    content_type = headers.get("Content-Type", "")
    is_events = "event-stream" in content_type
    steps = re.findall(rb".*?\n\n", body, re.DOTALL) if is_events else body.splitlines(keepends=True)
    return Exchange(method, path, json.loads(asked or "{}"), Reply(int(status_line.split()[1]), content_type, steps))


def error(status: int, text: str) -> Reply:
    """A refusal in JSON."""
    return Reply(status, "application/json; charset=utf-8", [json.dumps({"error": text}).encode()])


@dataclass
class ServerDouble:
    """The stand-in for one server, on a free port of this machine."""

    recorded: Sequence[Exchange] = ()
    port: int = 0
    requests: list[Seen] = field(default_factory=list)
    left: asyncio.Queue[str] = field(default_factory=asyncio.Queue)  # the path of each answer its client left
    connections: int = 0

    def __post_init__(self) -> None:
        self._planned: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._serving: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def will(self, path: str, *replies: Reply) -> None:
        """Answer the next requests at `path` with these."""
        self._planned[path].extend(replies)

    def bodies(self, path: str) -> list[dict[str, object]]:
        """What was asked at `path`, in order."""
        return [seen.body for seen in self.requests if seen.path == path]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(tuple(self._serving))
        await self._server.wait_closed()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread of its own, for tests that bring their own event loop."""
        ready, stop = threading.Event(), threading.Event()

        async def serve() -> None:
            async with self:
                ready.set()
                await asyncio.to_thread(stop.wait)

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        ready.wait()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self.connections += 1
        try:
            while (seen := await _request(reader)) is not None:
                self.requests.append(seen)
                if not await self._send(seen, self.reply_to(seen), reader, writer):
                    break
        except ConnectionError:
            self.left.put_nowait(self.requests[-1].path)
        finally:
            writer.close()
            del self._serving[task]

    def reply_to(self, seen: Seen) -> Reply:
        """What was planned for its path, else what was recorded."""
        return self.planned(seen.path) or self.recorded_reply(seen)

    def planned(self, path: str) -> Reply | None:
        """The next reply that a test has told of."""
        return self._planned[path].popleft() if self._planned[path] else None

    def recorded_reply(self, seen: Seen) -> Reply:
        """Of the recorded exchange that it has most in common with."""
        fitting = [
            exchange
            for exchange in self.recorded
            if (exchange.method, exchange.path) == (seen.method, seen.path) and _contains(seen.body, exchange.body)
        ]
        if not fitting:
            return Reply(501, "text/plain", [f"no recording fits {seen}".encode()])
        return max(fitting, key=lambda exchange: len(json.dumps(exchange.body))).reply

    async def _send(self, seen: Seen, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        head = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        head += [f"Content-Type: {reply.content_type}"] * bool(reply.content_type)
        head += [f"{name}: {value}" for name, value in reply.headers]
        pending = "\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode()
        for step in reply.steps if seen.method != "HEAD" else ():
            if isinstance(step, bytes):
                writer.write(pending + b"%x\r\n%b\r\n" % (len(step), step))
                pending = b""
                await writer.drain()
                await asyncio.sleep(0)
            elif isinstance(step, Act):
                if step is Act.STALL and await reader.read(1) == b"":
                    self.left.put_nowait(seen.path)
                if step is Act.RESET:
                    writer.transport.abort()
                return False
            else:
                await asyncio.sleep(step)
        writer.write(pending + (b"0\r\n\r\n" if seen.method != "HEAD" else b""))
        await writer.drain()
        return True


def _contains(whole: object, part: object) -> bool:
    """Whether `whole` has everything that `part` has, objects within objects alike."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _contains(whole[key], value) for key, value in part.items())
    return whole == part


async def _request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    request_line, *header_lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in header_lines)}
    method, path, _ = request_line.split()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, path, json.loads(body or b"{}"), headers)
