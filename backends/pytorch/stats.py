"""The engine's numbers in the words of the backends' interface."""

from __future__ import annotations

from backends.base import Stats
from engine.output import EngineStats


def as_stats(model: str, slots: int, stats: EngineStats) -> Stats:
    """The numbers of the engine that runs `model` and as many as `slots` answers at once."""
    return Stats(
        model=model,
        running=stats.running,
        waiting=stats.waiting,
        slots=slots,
        blocks_used=stats.blocks_used,
        blocks_cached=stats.blocks_cached,
        blocks_free=stats.blocks_free,
        prompt_tokens=stats.prefix_query_tokens,
        cached_tokens=stats.prefix_hit_tokens,
        completion_tokens=stats.tokens_generated,
        requests_finished=stats.requests_finished,
        preemptions=stats.preemptions,
        evictions=stats.evictions,
        copies=stats.copies,
        forks=stats.forks,
        drafts_proposed=stats.drafts_proposed,
        drafts_accepted=stats.drafts_accepted,
        computing=stats.computing,
        tokens_per_second=stats.tokens_per_second if stats.running else None,
        step_ms=stats.step_ms,
    )
