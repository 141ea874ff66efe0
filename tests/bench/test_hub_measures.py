"""The measures of the hub, small: they run on both servers, and say what is plausible."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

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
from bench.servers import bare, chats


@pytest.fixture(scope="module")
def ours() -> Iterator[Ours]:
    with chats("bench.reciter:Reciter") as server:
        yield Ours(websocket_url(server), ProcessMeter(server.process.pid))


@pytest.fixture(scope="module")
def plain() -> Iterator[Bare]:
    with bare() as server:
        yield Bare(websocket_url(server), ProcessMeter(server.process.pid), frame_bytes=180)


@pytest.fixture(params=["ours", "plain"])
def contestant(request: pytest.FixtureRequest) -> Contestant:
    found: Contestant = request.getfixturevalue(request.param)
    return found


def test_an_answer_to_some_sockets_costs_processor_time(contestant: Contestant) -> None:
    cost = asyncio.run(fanout(contestant, size=3, frames=50))
    assert 1 < cost.cpu_us < 5_000
    assert 150 < cost.frame_bytes < 250


def test_sockets_that_only_stand_there_take_memory(contestant: Contestant) -> None:
    kib = asyncio.run(idle(contestant, [100]))[100]
    assert 5 < kib < 200


def test_round_trips_are_timed(contestant: Contestant) -> None:
    took = asyncio.run(paced_round_trips(contestant, clients=2, each=5, pace_s=0.001))
    assert len(took) == 10
    assert all(0 < each < 10_000 for each in took)
    assert asyncio.run(closed_loop(contestant, clients=2)) > 1


def test_those_who_come_back_all_at_once_get_what_they_missed(ours: Ours, plain: Bare) -> None:
    assert 0 < asyncio.run(reconnects(ours, 20)) < 60
    assert 0 < asyncio.run(bare_reconnects(plain, 20)) < 60


def test_the_fast_lose_nothing_beside_one_that_reads_nothing(ours: Ours) -> None:
    found = asyncio.run(slow_reader(ours, fast=2, frames=1500, length=8192))
    assert found.lost == 0
    assert found.close_code == 4408, "the slow one is told to come back"
