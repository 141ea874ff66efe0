"""What OpenAI's answers have in common."""

from __future__ import annotations

from pydantic import BaseModel

from backends import base


class PromptTokensDetails(BaseModel):
    """Of the prompt's tokens, those that had been computed before."""

    cached_tokens: int


class Usage(BaseModel):
    """How many tokens a request took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails

    @classmethod
    def of(cls, usage: base.Usage) -> Usage:
        """A backend's count."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached_tokens),
        )
