"""Linear layers give each row the same bits in any company, and the right numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.layers.integer_linear import PEAK, IntegerLinear, split_in_planes
from engine.layers.linear import Linear, TiledLinear

KINDS = pytest.mark.parametrize("make", [IntegerLinear, TiledLinear])
SHAPES = pytest.mark.parametrize(("width", "out"), [(576, 192), (1536, 576), (64, 33)])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@KINDS
@SHAPES
def test_a_row_has_the_same_bits_alone_and_among_others(make: Callable[[Tensor], Linear], width: int, out: int) -> None:
    linear, x = make(random(out, width)), random(70, width, seed=1)
    whole = linear(x)
    for start, stop in ((0, 1), (69, 70), (3, 5), (10, 13), (0, 16), (5, 22), (1, 65)):
        assert torch.equal(linear(x[start:stop]), whole[start:stop])


@KINDS
@SHAPES
def test_the_product_is_right(make: Callable[[Tensor, Tensor], Linear], width: int, out: int) -> None:
    weight, bias, x = random(out, width), random(out, seed=2), random(9, width, seed=1)
    expected = x.double() @ weight.double().T + bias
    assert (make(weight, bias)(x) - expected).abs().max() < 2e-4 * expected.abs().max()


def test_two_planes_hold_sixteen_bits() -> None:
    x = random(20, 64) * torch.logspace(-6, 6, 20)[:, None]
    planes, scales = split_in_planes(x)
    back = (planes[0].double() * 256 + planes[1]) * scales
    assert ((back - x).abs() <= 0.51 * scales).all()


@pytest.mark.parametrize("value", [1.0, -1.0, 3e30, 1e-20])
def test_the_extremes_of_a_row_fit(value: float) -> None:
    planes, scales = split_in_planes(torch.tensor([[value, -value, value / 2, 0.0]]))
    words = planes[0].int() * 256 + planes[1]
    assert words.abs().max() == PEAK
    assert words[0, 3] == 0
    assert float(scales) == pytest.approx(abs(value) / PEAK)


def test_a_row_of_zeros_stays_zero() -> None:
    linear = IntegerLinear(random(8, 32))
    assert torch.equal(linear(torch.zeros(1, 32)), torch.zeros(1, 8))


def test_the_largest_products_do_not_overflow() -> None:
    """Every product at its extreme, over the widest row that 32-bit sums are for."""
    width = 16_384
    linear = IntegerLinear(torch.full((2, width), -3.0))
    assert linear(torch.full((1, width), 5.0))[0, 0] == pytest.approx(-15 * width, rel=1e-4)
