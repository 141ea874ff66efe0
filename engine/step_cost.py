"""What a step of a model costs by the number of its rows, measured: what extra rows are weighed against.

`python -m bench.speculation --costs` measures these again.
"""

from __future__ import annotations

from bisect import bisect_left


class StepCost:
    """Straight lines through measured points (rows, cost), and on after the last one. A step of one row costs 1."""

    def __init__(self, *points: tuple[int, float]) -> None:
        self._points = points

    def __call__(self, rows: int) -> float:
        right = bisect_left(self._points, (rows, 0.0), lo=1, hi=len(self._points) - 1)
        (first, low), (last, high) = self._points[right - 1 : right + 1]
        return low + (high - low) * (rows - first) / (last - first)


PYTORCH = StepCost((1, 1.0), (2, 1.2), (4, 1.35), (8, 1.55), (16, 1.95), (32, 2.9))
GPU = StepCost((1, 1.0), (64, 1.25))
# By the instruction set of the compiled kernels.
KERNELS = {
    "avx512": StepCost((1, 1.0), (2, 1.13), (4, 1.4), (8, 1.88), (16, 3.4)),
    "avx2": StepCost((1, 1.0), (2, 1.2), (4, 1.65), (8, 2.9), (16, 5.45)),
    "portable": StepCost((1, 1.0), (2, 1.33), (4, 2.45), (8, 4.65), (16, 9.0)),
}
