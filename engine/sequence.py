"""One answer on its way: its tokens, how many of them are computed, and the text that has come out of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from engine.block_manager import BlockTable
from engine.detokenizer import StopChecker, StreamDecoder
from engine.errors import EngineError
from engine.sampling_params import SamplingParams

if TYPE_CHECKING:  # brings torch, which takes seconds to import
    from engine.guide import Guide
    from engine.logit_shaping import LogitShaper

FinishReason = Literal["stop", "length"]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Sequence:
    """A prompt and what follows it. A token is computed when its keys and values are in the cache.

    `resumed` of the tokens after the prompt were there when it came: an earlier run had sampled them.
    `length_limit` is how many tokens there may be in all. `forks` are further answers to the same prompt: they begin
    when it has been read, on the blocks of their `source`. `cached` says how many of the prompt's tokens did not need
    to be computed, and is None before the sequence has run. `came` is when its client came to wait for it, by the
    clock of the queue. `shaper` changes its logits, `guide` keeps it in a form, and `error` says why that failed.
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
    index: int = 0
    guide: Guide | None = None
    shaper: LogitShaper | None = None
    source: Sequence | None = None
    forks: list[Sequence] = field(default_factory=list)
    came: int = 0
    resumed: int = 0
    computed: int = 0
    cached: int | None = None
    table: BlockTable = field(default_factory=BlockTable)
    finish_reason: FinishReason | None = None
    error: EngineError | None = None

    @property
    def remaining(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.computed

    def resume(self, tokens: SequenceOf[int], is_end: Callable[[int], bool]) -> None:
        """Take in what an earlier run sampled, all text of which is known, as if it had been sampled here.

        Sets `finish_reason` if that ends the answer.
        """
        for token in tokens:
            if self.finish_reason is None:
                self._append(token, is_end)
        self.resumed = len(self.tokens) - self.prompt_tokens

    def accept(
        self, sampled: SequenceOf[int], drafts: SequenceOf[int], is_end: Callable[[int], bool]
    ) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Take in what was sampled after no draft, after one, and so on, as far as `drafts` are right.

        Returns the new tokens, and the text that became certain with each. Sets `finish_reason` at the end.
        """
        texts: list[str] = []
        for token, draft in zip(sampled, (*drafts, None), strict=False):
            texts.append(self._append(token, is_end))
            if self.finish_reason is not None or token != draft:
                break
        return tuple(sampled[: len(texts)]), tuple(texts)

    def _append(self, token_id: int, is_end: Callable[[int], bool]) -> str:
        if is_end(token_id) and not self.params.ignore_eos:
            self.finish_reason = "stop"
            return self._last_text()
        self.tokens.append(token_id)
        if self.guide is not None:
            self.guide.consume(token_id)
        text, stopped = self.stop.push(self.decoder.push(token_id))
        if stopped:
            self.finish_reason = "stop"
        elif self.guide is not None and self.guide.is_whole:
            self.finish_reason = "stop"
            text += self._last_text()
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


def sibling_seed(seed: int, index: int) -> int:
    """The seed of the answer number `index` to one prompt; the first has the seed itself."""
    digest = blake2b(f"{seed}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 if index else seed
