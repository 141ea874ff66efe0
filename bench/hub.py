"""What the hub costs beside the least that uvicorn and Starlette can do, measured in one run with the same clients.

    python -m bench.hub [--rounds 3] [--frames 1000] [--idle 1000 5000] [--json FILE]

Each server has a processor of its own, and the clients have another one. The two servers take turns, A B A B, and the
table has their medians. A frame's cost is the server's processor time over all frames that reached somebody; ours have
an order, a log and JSON. Takes about three minutes; on a machine where others work only the ratios mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.hub_measures import (
    Bare,
    Contestant,
    Ours,
    bare_reconnects,
    closed_loop,
    fanout,
    idle,
    paced_round_trips,
    reconnects,
    slow_reader,
    websocket_url,
)
from bench.process_meter import ProcessMeter
from bench.processes import say
from bench.report import Results, percentile, write_json
from bench.servers import Server, bare, chats

AUDIENCES = (1, 10, 100)
RETURNING = 1000
GOALS = {
    "frame to 100, µs CPU": 15.0,
    "idle connection of 5000, KiB": 40.0,
    "paced round trip p50, ms": 0.5,
    "1000 reconnects, s": 2.0,
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=1000, help="of an answer that is sent to everybody")
    parser.add_argument("--idle", type=int, nargs="*", default=[1000, 5000], help="connections that only stand there")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    raise_descriptor_limit()
    results = Results(("ours", "bare"))
    frame_bytes = 200
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}: ours")
        with chats("bench.reciter:Reciter") as server, pinned(server):
            ours = Ours(websocket_url(server), ProcessMeter(server.process.pid))
            frame_bytes = asyncio.run(compare(results, ours, options.frames, options.idle))
            asyncio.run(ours_alone(results, ours))
        say(f"round {number + 1} of {options.rounds}: bare")
        with bare() as server, pinned(server):
            contestant = Bare(websocket_url(server), ProcessMeter(server.process.pid), frame_bytes)
            asyncio.run(compare(results, contestant, options.frames, options.idle))
            results.add("bare", {"1000 reconnects, s": asyncio.run(bare_reconnects(contestant, RETURNING))})
    print(results.table({}))
    for measure, goal in GOALS.items():
        median = results.median(measure, "ours")
        if median is not None:
            print(f"{measure}: {median:.2f}, the goal is {goal:g} ({'met' if median <= goal else 'missed'})")
    if options.json is not None:
        write_json(options.json, results)


async def compare(results: Results, contestant: Contestant, frames: int, idle_sizes: list[int]) -> int:
    """Take the measures that both servers have. Gives the length of a frame in bytes."""
    frame_bytes = 0
    for size in AUDIENCES:
        cost = await fanout(contestant, size, frames)
        frame_bytes = cost.frame_bytes
        results.add(contestant.name, {f"frame to {size}, µs CPU": cost.cpu_us})
    took = await paced_round_trips(contestant)
    results.add(contestant.name, {f"paced round trip p{p}, ms": percentile(took, p) for p in (50, 99)})
    results.add(contestant.name, {"closed loop, round trips/s": await closed_loop(contestant)})
    for size, kib in (await idle(contestant, idle_sizes)).items():
        results.add(contestant.name, {f"idle connection of {size}, KiB": kib})
    return frame_bytes


async def ours_alone(results: Results, ours: Ours) -> None:
    """Take the measures of what the bare server cannot do."""
    results.add("ours", {"1000 reconnects, s": await reconnects(ours, RETURNING)})
    slow = await slow_reader(ours)
    results.add(
        "ours", {"gap p99 of 10 readers, ms": slow.p99_ms, "beside one that reads nothing, ms": slow.p99_beside_ms}
    )
    results.add("ours", {"frames they lost": slow.lost, "its close code": slow.close_code or 0})


@contextmanager
def pinned(server: Server) -> Generator[None]:
    """Give the server a processor of its own, and this process another one; without a second one, share."""
    processors = sorted(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {processors[0]})
    os.sched_setaffinity(0, {processors[-1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def raise_descriptor_limit() -> None:
    """Allow this process and those that it starts as many open sockets as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
