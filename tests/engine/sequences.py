"""Sequences without an engine, for tests of those who order them."""

from __future__ import annotations

from itertools import count

from engine.detokenizer import StopChecker, StreamDecoder
from engine.sampling_params import SamplingParams
from engine.sequence import Sequence

UNIQUE = count()


def sequence(
    name: str, size: int = 4, *, key: str = "", priority: int = 0, tokens: list[int] | None = None
) -> Sequence:
    """One with a prompt like no other, unless `tokens` are given."""
    prompt = [next(UNIQUE), *[0] * (size - 1)] if tokens is None else list(tokens)
    decoder, stop = StreamDecoder(lambda token: b""), StopChecker(())
    return Sequence(
        name, prompt, len(prompt), 10_000, SamplingParams(), 0, decoder, stop, fairness_key=key, priority=priority
    )
