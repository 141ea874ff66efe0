"""How one sequence is sampled."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ANSWERS = 128  # to one request


@dataclass(slots=True, frozen=True)
class SamplingParams:
    """Temperature 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 are off. Stop strings are not part of the text."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False
