"""A quantized matrix in parts says what its plain values say, whatever is done to its rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.layers.rotary import interleaved_to_halves
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGMLType, GGUFTensor
from engine.loader.quantized import QuantizedRows, concatenate, split
from tests.engine.matrices import FLOATS, QUANTIZED, random_matrix

EXACT = [kind for kind in QUANTIZED if kind is not GGMLType.Q6_K]  # products that fit in float32 whatever is stored
COLUMNS = 512


def parts_of(tensor: GGUFTensor) -> QuantizedRows:
    parts = split(tensor)
    assert parts is not None
    return parts


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_the_parts_make_up_the_values(kind: GGMLType) -> None:
    tensor = random_matrix(kind, rows=6)
    parts, expected = parts_of(tensor), dequantize(tensor)
    assert parts.quants.dtype == torch.uint8
    assert parts.quants.shape == (6, COLUMNS)
    assert int(parts.quants.max()) < 2**parts.bits
    assert parts.scales.dtype == parts.mins.dtype == torch.float32
    assert parts.scales.shape == parts.mins.shape == (6, COLUMNS // parts.group)
    if kind in EXACT:
        assert torch.equal(parts.values(), expected), "the parts do not make up the values bit for bit"
    else:  # the rounding of the larger of the two terms, which may all but cancel
        ulp = parts.mins.abs().repeat_interleave(parts.group, dim=1) * 2.0**-23
        assert ((parts.values() - expected).abs() <= ulp).all()


@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: kind.name)
def test_floating_point_numbers_have_no_parts(kind: GGMLType) -> None:
    data = np.zeros(2 * 32 * kind.block_bytes, np.uint8)
    assert split(GGUFTensor("plain", (2, 32), kind, data)) is None


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_the_parts_do_not_share_the_files_memory(kind: GGMLType) -> None:
    """The file may be cut short under its mapping."""
    tensor = random_matrix(kind, rows=2)
    parts = parts_of(tensor)
    before = parts.values()
    tensor.data[:] = 0
    assert torch.equal(parts.values(), before)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_rows_change_places_with_their_factors(kind: GGMLType) -> None:
    def to_halves(matrix: Tensor) -> Tensor:
        return interleaved_to_halves(matrix, heads=2, rotated=6)

    parts = parts_of(random_matrix(kind, rows=16))
    assert torch.equal(parts.rearrange(to_halves).values(), to_halves(parts.values()))


@pytest.mark.parametrize("kinds", [(first, second) for first in QUANTIZED for second in QUANTIZED], ids=str)
def test_matrices_of_any_two_types_can_be_put_below_each_other(kinds: tuple[GGMLType, GGMLType]) -> None:
    first, second = (parts_of(random_matrix(kind, rows, seed=rows)) for kind, rows in zip(kinds, (3, 5), strict=True))
    joined = concatenate([first, second])
    assert torch.equal(joined.values(), torch.cat((first.values(), second.values())))
    assert joined.bits == max(first.bits, second.bits)
    assert joined.group == min(first.group, second.group)
