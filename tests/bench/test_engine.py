"""The measuring of the engine alone, on a tiny model: figures come out, and every prompt is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import engine as bench
from bench.engine import EngineBench
from engine.config import EngineConfig


@pytest.fixture(scope="module")
def measured(tiny_model: Path) -> EngineBench:
    return EngineBench(tiny_model, EngineConfig(threads=1, device="cpu", max_batch_size=4))


def test_decoding_and_reading_have_rates(measured: EngineBench) -> None:
    assert measured.decode(4, 6) > 0
    assert measured.prefill(40) > 0
    assert not measured.engine.has_work()


def test_no_prompt_is_read_from_the_cache(measured: EngineBench) -> None:
    before = measured.engine.stats().prefix_hit_tokens
    measured.prefill(200)
    measured.decode(2, 3)
    assert measured.engine.stats().prefix_hit_tokens == before


def test_the_parts_of_a_step_are_less_than_the_step(measured: EngineBench) -> None:
    parts = measured.profile(2, 12)
    assert {"schedule", "model", "sample", "postprocess", "whole step"} <= parts.keys()
    assert all(milliseconds >= 0 for milliseconds in parts.values())
    inside = [value for name, value in parts.items() if name.startswith("model: ")]
    assert sum(inside) <= parts["whole step"]


def test_all_figures_have_a_name_with_a_unit(measured: EngineBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BATCHES", (1, 3))
    monkeypatch.setattr(bench, "PREFILLS", (64,))
    figures = bench.measure(measured, 4)
    expected = ["load, s", "prefill 64, tok/s", "decode 1, tok/s", "decode 3, tok/s", "guessed tokens, %"]
    assert list(figures) == [*expected, "peak memory, MiB"]
