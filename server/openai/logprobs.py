"""The probabilities of tokens in both of OpenAI's shapes: the chat's, token by token, and the one of completions."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from pydantic import BaseModel

from backends.base import TokenLogprob

LEAST = -9999.0  # stands for a probability of nothing, since JSON has no infinity


class TopLogprob(BaseModel):
    """A token that might have stood there. `bytes` are its own, which may be a part of a character."""

    token: str
    logprob: float
    bytes: list[int]


class ChatToken(TopLogprob):
    """A token of the answer, and the likeliest ones at its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Those of a chat's answer, or of a piece of it."""

    content: list[ChatToken]
    refusal: None = None

    @classmethod
    def of(cls, tokens: Sequence[TokenLogprob]) -> ChatLogprobs:
        """Those of some tokens."""
        return cls(content=[_chat_token(token) for token in tokens])


class CompletionLogprobs(BaseModel):
    """Those of a completion, or of a piece of it: lists with a place for each token.

    `text_offset` counts characters from the text's beginning. `top_logprobs` holds the token itself as well.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionTokens:
    """Words the tokens of one choice's text, piece after piece."""

    def __init__(self, asked: int, offset: int = 0) -> None:
        """`asked`: how many alternatives. `offset`: of the first token, in characters."""
        self._asked = asked
        self._offset = offset

    def word(self, text: str, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """The tokens of the next piece, whose text is `text`."""
        worded = CompletionLogprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[_finite(token) for token in tokens],
            top_logprobs=[_top(token) for token in tokens] if self._asked else None,
            text_offset=[self._offset + min(place, len(text)) for place in _places(tokens)],
        )
        self._offset += len(text)
        return worded


def joined(pieces: Sequence[CompletionLogprobs]) -> CompletionLogprobs:
    """The pieces of one choice as one."""
    tops = [piece.top_logprobs for piece in pieces if piece.top_logprobs is not None]
    return CompletionLogprobs(
        tokens=[token for piece in pieces for token in piece.tokens],
        token_logprobs=[logprob for piece in pieces for logprob in piece.token_logprobs],
        top_logprobs=[top for each in tops for top in each] if tops else None,
        text_offset=[offset for piece in pieces for offset in piece.text_offset],
    )


def _chat_token(token: TokenLogprob) -> ChatToken:
    tops = [TopLogprob(token=top.text, logprob=_finite(top), bytes=list(top.data)) for top in token.top]
    return ChatToken(token=token.text, logprob=_finite(token), bytes=list(token.data), top_logprobs=tops)


def _top(token: TokenLogprob) -> dict[str, float]:
    """By their texts; of several tokens with one text the likeliest counts."""
    tops: dict[str, float] = {}
    for each in (*token.top, token):
        tops.setdefault(each.text, _finite(each))
    return tops


def _places(tokens: Sequence[TokenLogprob]) -> list[int]:
    """In which character of their text the tokens begin, which may be one that an earlier token has begun."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    places, place = [], 0
    for token in tokens:
        places.append(place)
        place += len(decoder.decode(token.data))
    return places


def _finite(token: TokenLogprob) -> float:
    return max(token.logprob, LEAST)
