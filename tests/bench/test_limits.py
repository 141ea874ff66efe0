"""What a machine's speeds allow: the arithmetic of the limits, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import limits
from bench.limits import Limits, Work, ceilings, table
from tests.tiny_model import FEED_FORWARD, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCABULARY

WORK = Work(weight_bytes=1000, layer_weights=800, head_weights=200, kv_bytes=0, attended=0)


def test_one_sequence_is_bound_by_reading_and_many_by_arithmetic() -> None:
    assert WORK.decode_rate(1, read=1e6, operations=1e9) == pytest.approx(1000)
    assert WORK.decode_rate(16, read=1e9, operations=2e6) == pytest.approx(1000)


def test_the_cache_is_read_too() -> None:
    work = Work(1000, 800, 200, kv_bytes=10, attended=0)
    seconds = 1000 / 1e6 + limits.CONTEXT * 10 / 1e6
    assert work.decode_rate(1, read=1e6, operations=1e9) == pytest.approx(1 / seconds)


def test_a_prompt_needs_the_head_only_once() -> None:
    assert WORK.prefill_rate(100, operations=1e6) == pytest.approx(100 * 1e6 / (2 * (80_000 + 200)))


def test_a_model_is_counted_as_it_is(tiny_model: Path) -> None:
    work = Work.of(tiny_model)
    head_dim = HIDDEN // HEADS
    attention = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV_HEADS * head_dim
    assert work.layer_weights == LAYERS * (attention + 3 * HIDDEN * FEED_FORWARD)
    assert work.head_weights == HIDDEN * VOCABULARY, "The output layer is the embedding here."
    assert work.kv_bytes == 2 * LAYERS * KV_HEADS * head_dim * limits.KV_BYTES
    assert work.attended == 4 * LAYERS * HIDDEN


def test_two_planes_cost_twice_as_much() -> None:
    machine = Limits(read_large=1e9, read_model=1e12, float32=1e9, bfloat16=2e9, int8=4e9)
    by_kind = ceilings(machine, WORK)["prefill 512, tok/s"]
    assert by_kind["int8"] == pytest.approx(2 * by_kind["int8 in two planes"])
    assert by_kind["bfloat16"] == pytest.approx(2 * by_kind["float32"])


def test_the_table_says_which_share_was_reached() -> None:
    drawn = table({"decode 1, tok/s": 60}, {"decode 1, tok/s": {"int8": 100, "float32": 50}})
    assert "reached 60 · int8: 100 (60%) · float32: 50 (120%)" in drawn


def test_this_machine_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.01)
    monkeypatch.setattr(limits, "LARGE", 1 << 20)
    assert min(vars_of(limits.measure(Work(1 << 20, 1, 1, 1, 1)))) > 0


def vars_of(found: Limits) -> tuple[float, ...]:
    return found.read_large, found.read_model, found.float32, found.bfloat16, found.int8
