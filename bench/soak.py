"""A long day in a few minutes: a million messages, twenty thousand visitors, and whether the server then holds more.

    python -m bench.soak [--messages 1000000] [--connects 20000] [--history] [--plot soak.png]

A message is a frame that reached a client, or a command that the server answered. The server is the real one; its
backend says what it is asked for. Ten listeners hear long answers all day. Visitors come with a conversation of their
own, ask for a short answer, and leave: in order, without a word in the middle of the answer, or to come back to it at
once. In between everybody leaves, and what the server then holds is noted: memory, descriptors, tasks. The last 80 % of
these notes must not rise by 2 %. With --history the conversations are stored, in a database that is thrown away.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.drift import Sample, draw, drift_percent
from bench.hub import raise_descriptor_limit
from bench.hub_measures import Ours, closed, recited, settled, websocket_url
from bench.process_meter import ProcessMeter
from bench.processes import say
from bench.servers import Server, chats
from bench.sockets import Socket, first_text, open_socket

SAMPLES = 100
LISTENERS = 10
PIECES = 250  # of a long answer; more at once would make its listeners slow ones
AT_ONCE = 50  # visitors
SETTINGS = {"WINDOW_S": "0.5"}  # so that what is to be forgotten has been when we look
MOST_DRIFT = 2.0  # percent


class Soak:
    """The clients, and what they have done so far."""

    def __init__(self, server: Server) -> None:
        self.samples: list[Sample] = []
        self._server = server
        self._ours = Ours(websocket_url(server), ProcessMeter(server.process.pid))
        self._messages = 0
        self._connects = 0
        self._began = time.perf_counter()

    async def run(self, messages: int, connects: int, samples: int) -> None:
        """Handle about so many messages and connects, and take so many samples on the way."""
        for number in range(1, samples + 1):
            await self._visits(connects * number // samples - self._connects)
            await self._answers(messages * number // samples - self._messages)
            self.samples.append(await self._look())
            sample = self.samples[-1]
            if number % 10 == 0:
                say(
                    f"{sample.messages:,} messages, {sample.connects:,} connects, {sample.rss_mib:.1f} MiB, "
                    f"{sample.descriptors} descriptors, {sample.tasks} tasks, {sample.seconds:.0f} s"
                )

    async def _answers(self, messages: int) -> None:
        """Long answers to ten listeners, until that many frames have come."""
        until = self._messages + messages
        sockets = await self._ours.audience(LISTENERS)
        self._connects += len(sockets)
        while self._messages < until:
            heard = await recited(self._ours, sockets, PIECES, 0, 12)
            self._messages += sum(len(each.times) for each in heard) + 1
        await closed(sockets)

    async def _visits(self, connects: int) -> None:
        """Visitors, some at once."""
        until = self._connects + connects
        number = 0
        while self._connects < until:
            some = min(AT_ONCE, until - self._connects)
            await asyncio.gather(*(self._visit(number + each) for each in range(some)))
            number += some

    async def _visit(self, number: int) -> None:
        """One visitor: three in ten leave without a word, one in ten comes back at once."""
        socket = await self._enter("")
        hello = json.loads(await first_text(socket))
        answer = _Answer(socket)
        socket.send('{"type":"ping"}')
        socket.send(self._ours.recite(10, 0, 12))
        if number % 10 < 3:
            await answer.frames(3)
            socket.reset()
        elif number % 10 == 3:
            await answer.frames(3)
            socket.reset()
            socket = await self._enter(f"?session={hello['session']}&epoch={hello['epoch']}&after=1")
            await _Answer(socket).end()
            await socket.close()
        else:
            await answer.end()
            await socket.close()
        self._messages += 2 + answer.heard

    async def _enter(self, query: str) -> Socket:
        """Connect, from one of many addresses, so that no address runs out of ports."""
        self._connects += 1
        return await open_socket(self._ours.url + query, f"127.0.0.{1 + self._connects % 50}")

    async def _look(self) -> Sample:
        """What the server holds when nobody is there, and nobody who was is remembered any more."""
        while self._server.get("/health")["sessions"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        socket = await open_socket(self._ours.url)
        await settled(self._ours.meter)
        answer = _Answer(socket)
        socket.send('{"message":"tasks"}')
        tasks = json.loads(await answer.end())["message"]
        holding = self._ours.meter.holding()
        await socket.close()
        return Sample(
            time.perf_counter() - self._began,
            self._messages,
            self._connects,
            holding.rss_kib / 1024,
            holding.anonymous_kib / 1024,
            holding.descriptors,
            int(tasks),
        )


class _Answer:
    """Counts what a socket hears, up to an answer's end, or until it turns out that nobody remembers that answer."""

    def __init__(self, socket: Socket) -> None:
        self.heard = 0
        self._wanted = 0
        self._last = b""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for text in socket.early:
            self._take(text)
        socket.listen(self._take)

    async def frames(self, number: int) -> None:
        """Wait for that many."""
        self._wanted = number
        if self.heard < number:
            await self._done

    async def end(self) -> bytes:
        """Wait for the answer's end, and give it."""
        await self._done
        return self._last

    def _take(self, text: bytes) -> None:
        self.heard += 1
        self._last = text
        over = b'"type":"ai"' in text[:200] or b'"finish_reason"' in text or b'"unknown_session"' in text
        if (over or self.heard == self._wanted) and not self._done.done():
            self._done.set_result(None)


def soak(messages: int, connects: int, samples: int = SAMPLES, *, history: bool = False) -> Sequence[Sample]:
    """Start a server, let it have its day, and give what it held on the way."""
    with contextlib.ExitStack() as stack:
        settings = dict(SETTINGS)
        if history:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            settings["DATABASE_URL"] = f"sqlite:///{folder}/soak.db"
        server = stack.enter_context(chats("bench.reciter:Reciter", settings))
        day = Soak(server)
        asyncio.run(day.run(messages, connects, samples))
        return day.samples


def main() -> int:
    """Soak, draw, and judge: 0 when nothing rises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--connects", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--history", action="store_true", help="store the conversations")
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    options = parser.parse_args()
    raise_descriptor_limit()
    samples = soak(options.messages, options.connects, options.samples, history=options.history)
    last = samples[-1]
    drift = drift_percent([sample.rss_mib for sample in samples])
    draw(samples, f"{last.messages:,} messages and {last.connects:,} connects in {last.seconds:.0f} s", options.plot)
    print(f"{last.messages:,} messages, {last.connects:,} connects, {last.seconds:.0f} s")
    print(f"memory: {last.rss_mib:.1f} MiB at the end, drift {drift:+.2f} %, at most {MOST_DRIFT:g} % wanted")
    for name in ("descriptors", "tasks"):
        values = [getattr(sample, name) for sample in samples]
        print(f"{name}: {values[0]} at first, {values[-1]} at the end")
    return int(drift >= MOST_DRIFT)


if __name__ == "__main__":
    sys.exit(main())
