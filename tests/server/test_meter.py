from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from backends.base import Backend, Event, GenerationRequest, ModelInfo, Stats
from backends.echo import EchoBackend
from server.meter import TELL_EVERY_S, Meter
from server.protocol import EngineMessage
from tests.server.doubles import ManualClock

IDLE = Stats("toy", running=0, waiting=0, slots=4, blocks_used=0, blocks_cached=6, blocks_free=10)


class Engine(Backend):
    """Has whatever numbers a test gives it."""

    name = "engine"
    numbers: Stats | None = None

    def stats(self) -> Stats | None:
        return self.numbers

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("toy")]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        raise AssertionError("Nobody asks this one.")
        yield


class Scene:
    """An engine beside a backend that has none, and what was told."""

    def __init__(self) -> None:
        self.engine, self.clock = Engine(), ManualClock()
        self.told: list[EngineMessage] = []
        self.meter = Meter([EchoBackend(), self.engine], self.clock, self.told.append)

    def measure(self, **changes: int | float | None) -> None:
        self.engine.numbers = replace(IDLE, **changes)
        self.meter.changed()


def test_a_backend_without_an_engine_has_no_numbers() -> None:
    scene = Scene()
    scene.meter.changed()
    assert (scene.told, scene.meter.messages(), scene.meter.reports()) == ([], [], [])


def test_the_first_numbers_are_told_at_once_and_by_the_full_name_of_the_model() -> None:
    scene = Scene()
    scene.measure(running=2, blocks_used=3, tokens_per_second=61.2345)
    [told] = scene.told
    assert (told.model, told.running, told.slots, told.tokens_per_second) == ("engine/toy", 2, 4, 61.2)
    assert (told.blocks_used, told.blocks_cached, told.blocks_total) == (3, 6, 19)


def test_numbers_are_told_once_a_second_at_most_and_the_last_ones_are_never_lost() -> None:
    scene = Scene()
    for running in range(1, 9):
        scene.measure(running=running)
        scene.clock.advance(TELL_EVERY_S / 4)
    assert [message.running for message in scene.told] == [1, 4, 8]
    scene.measure(running=0)
    scene.clock.advance(TELL_EVERY_S)
    assert [message.running for message in scene.told] == [1, 4, 8, 0]
    assert scene.clock.pending == 0, "While nothing changes nothing is to be done."


def test_numbers_that_are_the_same_are_not_told_again() -> None:
    scene = Scene()
    for _ in range(5):
        scene.measure(running=1)
        scene.clock.advance(TELL_EVERY_S)
    assert len(scene.told) == 1


def test_a_thousand_who_watch_are_told_less_often() -> None:
    scene = Scene()
    meter = Meter([scene.engine], scene.clock, scene.told.append, watchers=lambda: 1000)
    for running in range(1, 11):
        scene.engine.numbers = replace(IDLE, running=running)
        meter.changed()
        scene.clock.advance(1)
    assert [message.running for message in scene.told] == [1, 5, 10]


def test_a_closed_meter_leaves_no_timer() -> None:
    scene = Scene()
    scene.measure(running=1)
    scene.measure(running=2)
    scene.meter.close()
    assert scene.clock.pending == 0


def test_a_report_tells_everything() -> None:
    scene = Scene()
    scene.engine.numbers = replace(IDLE, preemptions=3, evictions=2, step_ms={"forward": 12.34567, "sample": 1.0})
    [report] = scene.meter.reports()
    assert (report.preemptions, report.evictions, report.step_ms) == (3, 2, {"forward": 12.346, "sample": 1.0})
