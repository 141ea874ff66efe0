"""The engine's log probabilities in the words of the backends' interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backends.base import TokenLogprob

if TYPE_CHECKING:  # brings torch, which takes seconds to import
    from engine.logprobs import TokenScore
    from engine.tokenizer import Tokenizer


def as_logprobs(scores: Iterable[TokenScore], tokenizer: Tokenizer) -> tuple[TokenLogprob, ...]:
    """The scores with what the tokens say. A control token says nothing, and is shown by its name."""

    def told(token_id: int, logprob: float, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        data = tokenizer.token_bytes(token_id)
        text = data.decode(errors="replace") if data else tokenizer.token_name(token_id)
        return TokenLogprob(token_id, text, data, logprob, top)

    return tuple(told(one.token_id, one.logprob, tuple(told(*other) for other in one.top)) for one in scores)
