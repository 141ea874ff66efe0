"""Whether drawn tokens follow a distribution, and which one sampling parameters ask for."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate

import torch
from torch import Tensor

from engine.sampling_params import SamplingParams


def distribution(logits: Tensor, params: SamplingParams) -> dict[int, float]:
    """What the parameters mean, told by sorting the whole vocabulary."""
    weights = torch.softmax(logits.double() / params.temperature, dim=0).tolist()
    order = sorted(range(len(weights)), key=lambda token: -weights[token])[: params.top_k or None]
    mass = params.top_p * sum(weights[token] for token in order)
    before = accumulate((weights[token] for token in order), initial=0.0)
    kept = [token for token, reached in zip(order, before, strict=False) if reached < mass]
    kept = [token for token in kept if weights[token] >= params.min_p * weights[kept[0]]]
    total = sum(weights[token] for token in kept)
    return {token: weights[token] / total for token in kept}


def assert_distributed(counts: Counter[int], expected: dict[int, float]) -> None:
    """Of a thousand samplers that are right this refuses one: Pearson's chi-square, what is rare in one class."""
    assert set(counts) <= set(expected), "a token was drawn that is ruled out"
    total = counts.total()
    rare = {token for token, p in expected.items() if p * total < 10}
    classes = [(counts[token], p * total) for token, p in expected.items() if token not in rare]
    if rare:
        classes.append((sum(counts[token] for token in rare), sum(expected[token] for token in rare) * total))
    chi_square = sum((found - wanted) ** 2 / wanted for found, wanted in classes)
    freedom = max(1, len(classes) - 1)
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3  # Wilson and Hilferty, 1931
    assert chi_square < limit, f"chi-square is {chi_square:.1f} with {freedom} degrees of freedom"
