"""Matrix products whose result for a row does not depend on the other rows: exact, on 8-bit integers.

A sum of integer products is the same in any order, so whatever kernel the library picks for a number of rows or of
threads, the result is the same to the last bit. Activations and weights are kept to 16 bits, with one scale a row, as
two 8-bit planes each; the product of the two low planes lies below what 16 bits hold and is left out:

    x = s · (256 · xh + xl)    W = c · (256 · wh + wl)
    x @ W.T ≈ 256 · s · c · (256 · xh @ wh.T + xl @ wh.T + xh @ wl.T)
"""

from __future__ import annotations

import torch
from torch import Tensor

PEAK = 127 * 256 + 127  # the largest magnitude of two planes, for which the high one still is at most 127
_SMALLEST = 1e-30  # a row of zeros is divided by this instead of by 0


def multiplies_integers_fast(device: torch.device) -> bool:
    """Whether the processor has the instructions that make 8-bit products worth it, and the library uses them."""
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


class IntegerLinear:
    """A linear layer on 16-bit weights. Equal inputs give equal bits alone, in any batch, on any number of threads."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight`: float32 [out, in]; `bias`: float32 [out]."""
        (self._high, self._low), scales = split_in_planes(weight)
        self._scales = scales.squeeze(1).mul_(256)  # [out]
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """float32 [rows, in] -> float32 [rows, out]."""
        planes, scales = split_in_planes(x)
        high, low = self._times_high(planes)
        low.add_(torch._int_mm(planes[0], self._low.t()))
        result = high.float().mul_(256).add_(low).mul_(scales).mul_(self._scales)
        return result if self._bias is None else result.add_(self._bias)

    def _times_high(self, planes: Tensor) -> tuple[Tensor, ...]:
        """Both planes [2, rows, in] times the high plane of the weights: two int32 [rows, out]."""
        columns = self._high.t()
        if planes.shape[1] == 1:  # two products of one row take a faster kernel than one of two rows
            return torch._int_mm(planes[0], columns), torch._int_mm(planes[1], columns)
        return torch._int_mm(planes.flatten(0, 1), columns).chunk(2)


def split_in_planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """float32 [rows, in] -> the high and the low plane, int8 [2, rows, in], and the scales, float32 [rows, 1]."""
    scales = x.abs().amax(dim=1, keepdim=True).clamp_min_(_SMALLEST).div_(PEAK)
    # A 16-bit word is 256 · high + low + 128. Its low byte, with the top bit turned over, is `low` as a signed byte.
    words = (x / scales).round_().add_(128).to(torch.int16).bitwise_xor_(128)
    pairs = words.view(torch.int8).view(*x.shape, 2)  # [rows, in, 2]: little-endian, so the low byte comes first
    return torch.stack((pairs[..., 1], pairs[..., 0])), scales
