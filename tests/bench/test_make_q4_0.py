"""The Q4_0 form of a model's weights: what changes, what stays, and that it is always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

from bench.make_q4_0 import make_q4_0
from engine.config import EngineConfig
from engine.llm_engine import LLMEngine


def test_only_the_matrices_in_q4_1_change(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "made" / "tiny.Q4_0.gguf"
    make_q4_0(tiny_model, target)
    before, after = ({tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in (tiny_model, target))
    assert list(before) == list(after)
    for name, old in before.items():
        new = after[name]
        if old.tensor_type != GGMLQuantizationType.Q4_1:
            assert new.tensor_type == old.tensor_type
            assert np.array_equal(new.data, old.data), f"{name} was to be copied."
            continue
        assert new.tensor_type == GGMLQuantizationType.Q4_0
        was, now = (dequantize(tensor.data, tensor.tensor_type).reshape(-1, 32) for tensor in (old, new))
        step = np.abs(was).max(axis=1, keepdims=True) / 8
        assert (np.abs(was - now) <= 1.01 * step).all(), f"A value of {name} is off by more than one step."
    assert any(tensor.tensor_type == GGMLQuantizationType.Q4_0 for tensor in after.values())


def test_all_that_the_file_says_of_itself_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    make_q4_0(tiny_model, tmp_path / "made")
    before, after = (
        {field.name: field.contents() for field in GGUFReader(path).fields.values()}
        for path in (tiny_model, tmp_path / "made")
    )
    kept = {name: value for name, value in before.items() if not name.startswith(("GGUF.", "general.file_type"))}
    assert kept == {name: after.get(name) for name in kept}


def test_the_same_weights_give_the_same_bytes_and_the_engine_reads_them(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_q4_0(tiny_model, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    LLMEngine.from_gguf(tmp_path / "one", config=EngineConfig(dtype_path="reference", threads=1, device="cpu"))
