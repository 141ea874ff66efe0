"""The whole server asking for keys, and the ways a caller may show one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.faults.whole_server import Whole, whole
from tests.server.access.keys_for_tests import add_key
from tests.server.doubles import PATIENCE_S

Headers = Sequence[tuple[str, str]]


@dataclass(slots=True, frozen=True)
class Guarded:
    """A server that runs, and the keys of two people. `ann` is an administrator."""

    server: Whole
    keys: Path
    ann: str
    bob: str


@asynccontextmanager
async def guarded(**settings: object) -> AsyncGenerator[Guarded]:
    """Serve with these settings, and ask everybody for a key."""
    with TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.json"
        ann, bob = add_key(keys, "Ann", admin=True), add_key(keys, "Bob")
        async with whole(auth="on", keys_file=str(keys), **settings) as server:
            yield Guarded(server, keys, ann, bob)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def handshake(url: str, *headers: tuple[str, str]) -> int:
    """Try to open a socket with these headers. Gives the status of the answer, 101 when it opens."""
    try:
        async with connect(url, additional_headers=list(headers), open_timeout=PATIENCE_S):
            return 101
    except InvalidStatus as refused:
        return int(refused.response.status_code)


async def status_of(url: str, target: str, headers: Headers = (), method: str = "GET") -> int:
    """Ask for `target` just as it is written, which no well-behaved client does. Gives the status."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.insert(1, f"Host: {host}:{port}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return int(line.split()[1])
