"""Says which tokens may come next in an answer that has a prescribed form, and follows the answer as it grows.

A thin layer over one of llguidance's matchers. Knows nothing of logits, and nothing of where the form comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from collections.abc import Sequence as SequenceOf

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from engine.errors import GrammarError

Mask = NDArray[np.bool_]


class Guide:
    """Where one answer is in its form."""

    def __init__(self, matcher: LLMatcher, end_ids: Collection[int]) -> None:
        """`end_ids` are the tokens that end an answer: the matcher allows them where the form is whole."""
        self._matcher = matcher
        self._end_ids = end_ids

    def fork(self) -> Guide:
        """Another answer that is in the same place and goes its own way from here."""
        return Guide(self._matcher.deep_copy(), self._end_ids)

    @property
    def is_whole(self) -> bool:
        """Whether the form is complete and nothing can follow."""
        return bool(self._matcher.is_stopped()) and not self._matcher.get_error()

    def consume(self, token_id: int) -> None:
        """The answer goes on with this token. One that may not come is told by the next `masks`, or by `check`."""
        self._matcher.consume_token(token_id)

    def check(self) -> None:
        """Raises GrammarError if the form cannot be kept any more."""
        if problem := self._matcher.get_error():
            raise _lost(first_line(problem))

    def allowed(self, token_ids: SequenceOf[int]) -> int:
        """How many of these may come next, one after the other; none after an end."""
        ends = (place for place, token_id in enumerate(token_ids) if token_id in self._end_ids)
        return int(self._matcher.validate_tokens(list(token_ids[: next(ends, len(token_ids))])))

    def forced(self) -> tuple[int, ...]:
        """The tokens that the next letters would usually be made of, as far as the form leaves no choice of letters."""
        return tuple(self._matcher.compute_ff_tokens())

    def masks(self, drafts: SequenceOf[int], vocabulary: int) -> Iterator[Mask]:
        """What may not come next, and after each of `drafts`, all of which are `allowed`: [vocabulary], true is barred.

        Raises GrammarError, also when nothing at all may come. The guide is where it was when all have been taken.
        """
        consumed = 0
        try:
            for draft in (*drafts, None):
                yield self._mask(vocabulary)
                if draft is not None:
                    self._matcher.consume_token(draft)
                    consumed += 1
        finally:
            if consumed:
                self._matcher.rollback(consumed)

    def _mask(self, vocabulary: int) -> Mask:
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self.check()
        barred = np.ones(vocabulary, dtype=np.bool_)
        allowed = np.unpackbits(bits, count=min(vocabulary, 8 * len(bits)), bitorder="little")
        np.logical_not(allowed, out=barred[: len(allowed)])
        if barred.all():
            raise _lost("no token goes on with it")
        return barred


def _lost(reason: str) -> GrammarError:
    return GrammarError(f"The answer cannot be kept in the form that was asked for: {reason}.")


def first_line(problem: str) -> str:
    """The one sentence of an error of the library's that is meant for people."""
    return problem.strip().split("\n", 1)[0].rstrip(".")[:200]
