"""What comes out of an engine's step, and what can be asked about it."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sequence import FinishReason


@dataclass(slots=True, frozen=True)
class StepOutput:
    """What a step did for one request. `prefilled` of `prompt_tokens` tells how far the prompt has been read.

    `text` is empty while a character is unfinished or a stop string may be starting.
    """

    request_id: str
    index: int = 0
    new_token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[float, ...] | None = None
    canvas: None = None
    finish_reason: FinishReason | None = None
    prefilled: int = 0
    prompt_tokens: int = 0


@dataclass(slots=True, frozen=True)
class EngineStats:
    """Numbers of this moment, and counts since the engine was built."""

    running: int
    waiting: int
    kv_tokens_used: int
    kv_tokens_total: int
    tokens_generated: int
    tokens_computed: int
    preemptions: int
    requests_finished: int
