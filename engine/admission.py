"""What no request may be, said in sentences. Knows nothing of what else the engine has to do."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import ParameterError, PromptTooLong
from engine.sampling_params import MOST_ANSWERS, MOST_LOGPROBS, SamplingParams

MOST_PENALTY = 100
LEAST_REPEAT_PENALTY = 0.01  # it multiplies logits by what is one over it: less, and they are no numbers any more
MOST_BIAS = 100


def check_prompt(
    token_ids: Sequence[int], params: SamplingParams, n: int, vocab_size: int, context_length: int
) -> None:
    """Raises ValueError, and PromptTooLong for a prompt that leaves no room for an answer."""
    if not token_ids:
        raise ValueError("Prompt cannot be empty.")
    if params.max_tokens < 1:
        raise ValueError("max_tokens must be at least 1.")
    if not 1 <= n <= MOST_ANSWERS:
        raise ValueError(f"A request can have 1 to {MOST_ANSWERS} answers.")
    if not _are_known(token_ids, vocab_size):
        raise ValueError("The prompt holds a token id that the model does not have.")
    if len(token_ids) >= context_length:
        raise PromptTooLong(
            f"The prompt has {len(token_ids):,} tokens and the model's context holds {context_length:,},"
            " the answer included. Shorten it."
        )


def check_params(params: SamplingParams, vocab_size: int) -> None:
    """Raises ParameterError for what changes the logits in ways that have no meaning."""
    for field in ("presence_penalty", "frequency_penalty"):
        if not abs(getattr(params, field)) <= MOST_PENALTY:
            raise ParameterError(f"{field} must be from {-MOST_PENALTY} to {MOST_PENALTY}.", field)
    if not LEAST_REPEAT_PENALTY <= params.repeat_penalty <= MOST_PENALTY:
        raise ParameterError(f"repeat_penalty must be from {LEAST_REPEAT_PENALTY} to {MOST_PENALTY}.", "repeat_penalty")
    for token_id, bias in params.logit_bias:
        if not 0 <= token_id < vocab_size:
            raise ParameterError(f"logit_bias names the token {token_id}, which the model does not have.", "logit_bias")
        if not abs(bias) <= MOST_BIAS:
            raise ParameterError(f"A logit_bias must be from {-MOST_BIAS} to {MOST_BIAS}.", "logit_bias")
    if params.logprobs is not None and not 0 <= params.logprobs <= MOST_LOGPROBS:
        raise ParameterError(f"Log probabilities of 0 to {MOST_LOGPROBS} likely tokens can be told.", "logprobs")


def check_resumed(resumed: Sequence[int], n: int, vocab_size: int) -> None:
    """Raises ValueError for an answer's first tokens that cannot be gone on from."""
    if resumed and n > 1:
        raise ValueError("Only one answer can be resumed.")
    if resumed and not _are_known(resumed, vocab_size):
        raise ValueError("The answer to resume holds a token id that the model does not have.")


def _are_known(token_ids: Sequence[int], vocab_size: int) -> bool:
    return min(token_ids) >= 0 and max(token_ids) < vocab_size
