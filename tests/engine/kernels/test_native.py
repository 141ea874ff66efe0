"""Products with packed matrices, on the kernels of every instruction set, against the same products in float64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from engine.kernels.interface import NativeLibrary
from engine.kernels.matrix import Arena, Matrix
from engine.kernels.native import LayerWeights, ModelWeights, NativeModel
from engine.kernels.sources import SETS, machine
from engine.loader.dequantize import dequantize
from engine.loader.gguf import GGMLType
from engine.loader.quantized import QuantizedRows, concatenate, split
from tests.engine.matrices import FLOATS, QUANTIZED, random_matrix

KINDS = [*QUANTIZED, *FLOATS]
WIDEST = 768
LARGEST = 127 * 256 + 127  # what the largest value of a row is quantized to
ROWS = [1, 15, 16, 17, 33]


def widths(kind: GGMLType) -> list[int]:
    """Odd and even numbers of groups."""
    return [32, 96, 576] if kind.block_size <= 32 else [256, 768]


def multiplier(library: NativeLibrary, threads: int = 1, columns: int = WIDEST) -> NativeModel:
    """The smallest model with room for rows of so many columns."""
    zeros, norm = Matrix(Arena(library), torch.zeros(16, columns)), torch.ones(columns)
    weights = ModelWeights(
        [LayerWeights(norm, zeros, zeros, norm, zeros, zeros)], norm, zeros, zeros, torch.ones(1, 8), torch.zeros(1, 8)
    )
    return NativeModel(library, weights, heads=1, kv_heads=1, head_dim=16, rotated=16, eps=1e-5, threads=threads)


def pack(library: NativeLibrary, kind: GGMLType, rows: int, columns: int, bias: Tensor | None = None) -> Matrix:
    tensor = random_matrix(kind, rows, columns)
    parts = split(tensor)
    return Matrix(Arena(library), dequantize(tensor) if parts is None else parts, bias)


def activations(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def error_bound(values: Tensor, x: Tensor, largest_term: float, *, quantized: bool = True) -> Tensor:
    """How far products may be from exact ones: [rows of x, rows of values].

    Half a step of quantization for every weight, and the rounding of sums whose terms are up to `largest_term` each.
    """
    step = x.abs().amax(1, keepdim=True) / LARGEST * quantized
    return step / 2 * values.abs().sum(1) + x.abs().sum(1, keepdim=True) * largest_term * 2.0**-21 + 1e-6


def largest_term(kind: GGMLType, rows: int, columns: int) -> float:
    """`scale * q` and the minimum are added each by itself, and may all but cancel."""
    parts = split(random_matrix(kind, rows, columns))
    if parts is None:
        return 1.0
    return float((parts.scales.abs() * 2**parts.bits + parts.mins.abs()).max())


@pytest.fixture
def sets(opened: NativeLibrary) -> Iterator[str]:
    """Chooses the kernels of one instruction set after the other, of those that this processor has."""

    def choose() -> Iterator[str]:
        for name in SETS.get(machine(), {"portable": ()}):
            try:
                opened.use(name)
            except ValueError:
                continue
            yield name

    return choose()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_products_are_those_of_the_values(library: NativeLibrary, kind: GGMLType) -> None:
    model = multiplier(library)
    for columns in widths(kind):
        for rows in ROWS:
            bias = activations(1, rows, seed=1)[0] if rows % 2 else None
            values, x = dequantize(random_matrix(kind, rows, columns)).double(), activations(5, columns)
            expected = x.double() @ values.T + (0 if bias is None else bias.double())
            error = (model.multiply(pack(library, kind, rows, columns, bias), x) - expected).abs()
            bound = error_bound(values, x, largest_term(kind, rows, columns), quantized=kind in QUANTIZED)
            assert (error <= bound).all(), f"{rows} x {columns}: {float((error / bound).max())} times what it may be"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_row_has_the_same_bits_alone_and_among_others(library: NativeLibrary, kind: GGMLType) -> None:
    columns = widths(kind)[1]
    model, matrix, x = multiplier(library, threads=2), pack(library, kind, 35, columns), activations(70, columns)
    together = model.multiply(matrix, x)
    for count in (*range(1, 10), 13, 31):
        assert torch.equal(model.multiply(matrix, x[:count]), together[:count]), f"{count} rows differ from 70"
    for place in (1, 7, 68, 69):
        assert torch.equal(model.multiply(matrix, x[place : place + 1])[0], together[place])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_instruction_set_gives_the_same_bits_and_the_portable_one_nearly(
    opened: NativeLibrary, sets: Iterator[str], kind: GGMLType
) -> None:
    """The portable kernels round products before they add them, so each sum is a little off."""
    columns = widths(kind)[-1]
    x = activations(5, columns)
    results = {name: multiplier(opened).multiply(pack(opened, kind, 21, columns), x) for name in sets}
    portable = results.pop("portable")
    for name, result in results.items():
        assert torch.equal(result, next(iter(results.values()))), f"{name} computes something else"
        assert (result - portable).abs().max() <= 1e-5 * largest_term(kind, 21, columns) * columns


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_packed_row_reads_back_as_the_file_has_it(library: NativeLibrary, kind: GGMLType) -> None:
    for columns in widths(kind):
        matrix, values = pack(library, kind, 17, columns), dequantize(random_matrix(kind, 17, columns))
        assert torch.equal(torch.stack([matrix.row(index) for index in range(17)]), values)


@pytest.mark.parametrize("kinds", [("Q4_0", "Q8_0"), ("Q4_1", "Q6_K"), ("Q4_0", "Q4_1")], ids="+".join)
def test_matrices_of_different_types_are_computed_as_one(library: NativeLibrary, kinds: tuple[str, str]) -> None:
    tensors = [random_matrix(GGMLType[kind], 9, 256) for kind in kinds]
    joined = concatenate([parts for parts in map(split, tensors) if parts is not None])
    values, x = joined.values().double(), activations(3, 256)
    result = multiplier(library).multiply(Matrix(Arena(library), joined), x)
    assert ((result - x.double() @ values.T).abs() <= error_bound(values, x, float(joined.mins.abs().max()) * 2)).all()


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (8, 32), (8, 16)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_products_do_not_overflow(library: NativeLibrary, bits: int, group: int, sign: int) -> None:
    """Every weight and every activation at the end of its range."""
    quants = torch.full((16, WIDEST), 2**bits - 1, dtype=torch.uint8)
    ones, zeros = torch.ones(16, WIDEST // group), torch.zeros(16, WIDEST // group)
    matrix = Matrix(Arena(library), QuantizedRows(quants, ones, zeros, bits, group))
    x = torch.full((2, WIDEST), float(sign))
    x[1, ::2] = -sign
    exact = x.sum(1, keepdim=True).expand(2, 16) * (2**bits - 1)
    assert torch.allclose(multiplier(library).multiply(matrix, x), exact, rtol=1e-6, atol=1e-2)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_rows_of_nothing_give_the_bias_and_tiny_ones_next_to_nothing(library: NativeLibrary, kind: GGMLType) -> None:
    columns, bias = widths(kind)[0], activations(1, 19, seed=1)[0]
    model, matrix = multiplier(library), pack(library, kind, 19, columns, bias)
    x = activations(4, columns) * torch.tensor([[0.0], [1e-44], [1e-38], [1e-32]])
    assert torch.equal(model.multiply(matrix, x), bias.expand(4, 19))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("bad", [torch.nan, -torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("rows", [3, 9])
def test_what_is_no_number_makes_its_row_none_and_no_other(
    library: NativeLibrary, kind: GGMLType, bad: float, rows: int
) -> None:
    columns = widths(kind)[1]
    model, matrix, x = multiplier(library), pack(library, kind, 19, columns), activations(rows, columns)
    good = model.multiply(matrix, x)
    x[1, columns // 2 + 5] = bad
    result = model.multiply(matrix, x)
    assert not result[1].isfinite().any(), "it went by in silence"
    assert torch.equal(result[0], good[0])
    assert torch.equal(result[2:], good[2:])


def test_more_rows_than_a_round_of_the_threads_counts_are_all_computed(opened: NativeLibrary) -> None:
    count, x = 265_000, activations(1, 32)
    model, matrix = multiplier(opened, threads=3, columns=32), pack(opened, GGMLType.Q4_0, 5, 32)
    assert torch.equal(model.multiply(matrix, x.repeat(count, 1)), model.multiply(matrix, x).expand(count, 5))


def test_a_matrix_that_the_kernels_have_no_code_for_is_refused(opened: NativeLibrary) -> None:
    quants, scales = torch.zeros((16, 32), dtype=torch.uint8), torch.ones(16, 2)
    with pytest.raises(AssertionError, match="no code"):
        Matrix(Arena(opened), QuantizedRows(quants, scales, scales, 4, 16))
    with pytest.raises(AssertionError, match="no room"):
        multiplier(opened).multiply(Matrix(Arena(opened), torch.zeros(1, WIDEST + 1)), torch.zeros(1, WIDEST + 1))
