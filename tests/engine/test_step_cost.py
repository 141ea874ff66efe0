"""What a step costs by its rows."""

from __future__ import annotations

import pytest

from engine.step_cost import GPU, KERNELS, PYTORCH, StepCost


def test_costs_between_and_beyond_measured_points_lie_on_lines() -> None:
    cost = StepCost((1, 1.0), (4, 1.6), (8, 3.6))
    assert [cost(rows) for rows in (1, 2, 4, 6, 8, 10)] == pytest.approx([1, 1.2, 1.6, 2.6, 3.6, 4.6])


@pytest.mark.parametrize("cost", [PYTORCH, GPU, *KERNELS.values()])
def test_more_rows_cost_more_in_all_and_less_each(cost: StepCost) -> None:
    costs = [cost(rows) for rows in range(1, 33)]
    assert costs[0] == 1
    assert costs == sorted(costs)
    assert all(total < rows for rows, total in enumerate(costs[1:], start=2))
