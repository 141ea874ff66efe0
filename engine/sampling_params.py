"""How one sequence is sampled."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ANSWERS = 128  # to one request
MOST_LOGPROBS = 100  # likely tokens that are told beside the one that was picked


@dataclass(slots=True, frozen=True)
class SamplingParams:
    """Temperature 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 are off. Stop strings are not part of the text.

    `presence_penalty` is taken once off the logits of tokens that the answer has, `frequency_penalty` as often as it
    has them. `repeat_penalty` divides those of the last 64 tokens of prompt and answer where they are positive, and
    multiplies them where they are negative. `logit_bias` is added at last: (token id, -100 to 100).
    `logprobs` tells each token's log probability, as the model itself has it, and so many likely ones at its place.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
