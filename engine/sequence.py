"""One request on its way: its tokens, how many of them are computed, and the text that has come out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from engine.detokenizer import StopChecker, StreamDecoder
from engine.sampling_params import SamplingParams

FinishReason = Literal["stop", "length"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Sequence:
    """A prompt and what follows it. A token is computed when its keys and values are in the cache.

    `length_limit` is how many tokens there may be in all.
    """

    request_id: str
    tokens: list[int]
    prompt_tokens: int
    length_limit: int
    params: SamplingParams
    seed: int
    decoder: StreamDecoder
    stop: StopChecker
    fairness_key: str = ""
    priority: int = 0
    computed: int = 0
    blocks: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    @property
    def remaining(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    def append(self, token_id: int, is_end: Callable[[int], bool]) -> str:
        """Take the sampled token in and return the text that is certain now. Sets `finish_reason` at the end."""
        if is_end(token_id) and not self.params.ignore_eos:
            self.finish_reason = "stop"
            return self._last_text()
        self.tokens.append(token_id)
        text, stopped = self.stop.push(self.decoder.push(token_id))
        if stopped:
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.length_limit:
            self.finish_reason = "length"
            text += self._last_text()
        return text

    def _last_text(self) -> str:
        """What was held back. Its end may be an unfinished character, and that may complete a stop string."""
        text, stopped = self.stop.push(self.decoder.flush())
        if stopped:
            self.finish_reason = "stop"
        return text if stopped else text + self.stop.flush()
