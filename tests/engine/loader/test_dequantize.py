"""Every storage type the engine reads, against the reference package of the format."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from engine.errors import ModelLoadError
from engine.loader.dequantize import DEQUANT, dequantize
from engine.loader.gguf import GGMLType, GGUFFile, GGUFTensor

SHIPPED = Path(__file__).parents[3] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WRITABLE_TYPES = [
    GGMLType.F32,
    GGMLType.F16,
    GGMLType.BF16,
    GGMLType.Q4_0,
    GGMLType.Q4_1,
    GGMLType.Q5_0,
    GGMLType.Q5_1,
    GGMLType.Q8_0,
]


def reference(tensor: GGUFTensor) -> np.ndarray:
    """What the reference package makes of the same bytes."""
    rows = tensor.data.reshape(*tensor.shape[:-1], -1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(tensor.type.value))


def assert_same_bits(values: torch.Tensor, expected: np.ndarray) -> None:
    assert values.dtype == torch.float32
    assert values.shape == expected.shape
    np.testing.assert_array_equal(values.numpy(), expected, err_msg="values differ from the reference's")


@pytest.mark.parametrize("kind", DEQUANT, ids=lambda kind: kind.name)
def test_random_bytes_become_the_numbers_the_reference_makes_of_them(kind: GGMLType) -> None:
    rows, row_blocks = 7, 5
    data = np.random.default_rng(1).integers(0, 256, rows * row_blocks * kind.block_bytes, dtype=np.uint8)
    tensor = GGUFTensor("random", (rows, row_blocks * kind.block_size), kind, data)
    assert_same_bits(dequantize(tensor), reference(tensor))


@pytest.mark.parametrize("kind", WRITABLE_TYPES, ids=lambda kind: kind.name)
def test_a_written_file_reads_back_as_the_numbers_that_went_in(kind: GGMLType, tmp_path: Path) -> None:
    numbers = np.random.default_rng(2).standard_normal((3, 4, 64)).astype(np.float32)
    stored = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType(kind.value))
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("weight", stored, raw_dtype=gguf.GGMLQuantizationType(kind.value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(tmp_path / "one.gguf") as file:
        values = dequantize(file.tensors["weight"])
        assert_same_bits(values, reference(file.tensors["weight"]))
    coarseness = {"F32": 0.0, "F16": 2e-3, "BF16": 2e-2, "Q8_0": 2e-2, "Q5_0": 0.2, "Q5_1": 0.2}.get(kind.name, 0.4)
    assert np.abs(values.numpy() - numbers).max() <= coarseness, "the values are not the numbers that were stored"


def test_the_embedded_model_has_the_numbers_that_the_reference_makes_of_it() -> None:
    with GGUFFile.open(SHIPPED) as file:
        kinds = {tensor.type for tensor in file.tensors.values()}
        assert kinds == {GGMLType.F32, GGMLType.Q4_1, GGMLType.Q8_0}
        for name in ("output_norm.weight", "token_embd.weight", "blk.0.ffn_down.weight", "blk.29.attn_q.weight"):
            tensor = file.tensors[name]
            assert_same_bits(dequantize(tensor), reference(tensor))


def test_the_embedded_model_is_dequantized_in_well_under_three_seconds() -> None:
    started = time.process_time()
    with GGUFFile.open(SHIPPED) as file:
        numbers = sum(dequantize(tensor).numel() for tensor in file.tensors.values())
    assert numbers == 134_515_008
    assert time.process_time() - started < 3.0


def test_a_type_that_cannot_be_read_is_named() -> None:
    data = np.zeros(GGMLType.IQ2_XXS.block_bytes, np.uint8)
    tensor = GGUFTensor("blk.0.attn_q.weight", (1, 256), GGMLType.IQ2_XXS, data)
    with pytest.raises(ModelLoadError, match=r"blk\.0\.attn_q\.weight is stored as IQ2_XXS"):
        dequantize(tensor)


def test_the_values_do_not_change_when_the_file_is_closed_and_do_not_share_its_memory(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "one.gguf", "llama")
    writer.add_tensor("weight", np.arange(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(tmp_path / "one.gguf") as file:
        values = dequantize(file.tensors["weight"])
        values += 1
        assert dequantize(file.tensors["weight"]).tolist() == [0, 1, 2, 3]
    assert values.tolist() == [1, 2, 3, 4]
