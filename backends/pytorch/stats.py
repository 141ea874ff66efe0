"""The engine's numbers in the words of the backends' interface."""

from __future__ import annotations

from backends.base import Stats
from engine.output import EngineStats

BLOCK = 16


def as_stats(model: str, slots: int, stats: EngineStats) -> Stats:
    """The numbers of the engine that runs `model` and as many as `slots` answers at once."""
    return Stats(
        model=model,
        running=stats.running,
        waiting=stats.waiting,
        slots=slots,
        blocks_used=stats.kv_tokens_used // BLOCK,
        blocks_cached=0,
        blocks_free=(stats.kv_tokens_total - stats.kv_tokens_used) // BLOCK,
        prompt_tokens=stats.tokens_computed,
        completion_tokens=stats.tokens_generated,
        requests_finished=stats.requests_finished,
        preemptions=stats.preemptions,
    )
