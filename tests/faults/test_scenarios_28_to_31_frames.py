"""Frames that the WebSocket protocol does not allow, or that are more than they look."""

from __future__ import annotations

import asyncio
import json
import struct
import tracemalloc
import zlib

import pytest

from backends.echo import EchoBackend
from tests.server.raw_client import close_code, frame, slow_socket
from tests.server.serving import joined, serving

CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


async def code_after(*pieces: bytes) -> int | None:
    """What the server closes with after these bytes. Fails unless others can still chat."""
    async with serving([EchoBackend()]) as (_, url), joined(url) as other:
        code = await close_code(url, *pieces)
        await other.send(json.dumps({"message": "Hi"}))
        await other.until("ai")
        return code


# 28


def test_28_a_frame_of_ten_megabytes_is_refused() -> None:
    assert asyncio.run(code_after(frame(TEXT, b"x" * 10_000_000))) == 1009


def test_28_its_head_alone_is_enough_to_be_refused() -> None:
    assert asyncio.run(code_after(frame(TEXT, b"x" * 10_000_000)[:14])) == 1009


def test_28_thirty_two_fragments_without_an_end_are_refused() -> None:
    piece = b"x" * 65_536
    fragments = [frame(CONTINUATION, piece, fin=False) for _ in range(31)]
    assert asyncio.run(code_after(frame(TEXT, piece, fin=False), *fragments)) == 1009


# 29


@pytest.mark.parametrize(
    "pieces",
    [
        (frame(TEXT, b"\xff\xfe"),),
        (frame(TEXT, "é".encode()[:1]),),
        (frame(TEXT, b"ok \xe2", fin=False), frame(CONTINUATION, b"\x82")),
        (frame(TEXT, b"\xed\xa0\x80"),),
    ],
    ids=["no UTF-8", "half a character", "half a character over two fragments", "half of a surrogate pair"],
)
def test_29_text_that_is_no_utf_8_closes_the_connection_and_leaves_no_traceback(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    assert asyncio.run(code_after(*pieces)) == 1007
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


# 30


@pytest.mark.parametrize(
    "piece",
    [
        frame(TEXT, b"hello", masked=False),
        *(frame(TEXT, b"hello", rsv=bit) for bit in (1, 2, 4)),
        frame(3, b"hello"),
        frame(11),
        frame(PING, fin=False),
        frame(PING, b"x" * 126),
        frame(CONTINUATION, b"of nothing"),
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
        *(frame(CLOSE, struct.pack("!H", code)) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)),
        frame(CLOSE, b"\x03"),
    ],
    ids=lambda piece: piece[:8].hex(),
)
def test_30_a_frame_that_may_not_be_closes_the_connection(piece: bytes) -> None:
    assert asyncio.run(code_after(piece)) == 1002


# 31


def test_31_a_small_frame_that_unpacks_to_a_huge_one_is_refused_before_it_does() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    bomb = bomb.removesuffix(b"\0\0\xff\xff")
    assert len(bomb) < 25_000

    async def scenario() -> None:
        async with serving([EchoBackend()], ws_per_message_deflate=True) as (_, url), joined(url):
            with await slow_socket(url, headers=DEFLATE):
                tracemalloc.start()
                try:
                    assert await close_code(url, frame(TEXT, bomb, rsv=4), headers=DEFLATE) == 1009
                    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
                finally:
                    tracemalloc.stop()

    asyncio.run(scenario())
