"""Makes a conversation fit into what the model can read, as Ollama does: the oldest messages go first.

The system's messages and the last one always stay. Where tokens cannot be counted exactly, whoever answers has to see
to what is shown: only the answer's length is bounded then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from backends.base import ContextOverflow, GenerationRequest, Message, TokenCount
from server.hub import Hub

AROUND_A_MESSAGE = 64  # tokens that a template may put there, or ahead of the first one


@dataclass(slots=True, frozen=True)
class Window:
    """How many tokens question and answer may have: what the model reads, or less, where that was asked for."""

    context_length: int | None
    num_ctx: int | None = None
    truncate: bool = True

    @property
    def tokens(self) -> int | None:
        """All of it; None where nobody knows."""
        return min((length for length in (self.context_length, self.num_ctx) if length), default=None)

    @property
    def narrower(self) -> bool:
        """Whether it is less than what the model reads, which the model does not know."""
        return self.tokens is not None and self.tokens != self.context_length


async def fit(hub: Hub, request: GenerationRequest, window: Window) -> GenerationRequest:
    """`request` with as many of its messages, and as long an answer, as the window holds.

    An answer claims half of it at most, and an eighth where it has no limit. Raises ContextOverflow when what has to
    stay is too long; and BackendError.
    """
    tokens, asked = window.tokens, request.params.max_tokens
    if tokens is None or _at_most(request) + (asked or (tokens if window.narrower else 0)) <= tokens:
        return request
    count = await hub.count_tokens(request)
    if not count.exact:
        return _bounded(request, tokens) if window.narrower else request
    room = tokens - min(asked or tokens // 8, tokens // 2)
    if window.truncate and count.n > room:
        request, count = await _shortened(hub, request, room)
    if count.n >= tokens:
        raise ContextOverflow(f"The prompt has {count.n:,} tokens, and there is room for {tokens:,}.")
    return _bounded(request, tokens - count.n)


def _bounded(request: GenerationRequest, most: int) -> GenerationRequest:
    """`request` for an answer of at most so many tokens."""
    asked = request.params.max_tokens or most
    return replace(request, params=replace(request.params, max_tokens=min(asked, most)))


async def _shortened(hub: Hub, request: GenerationRequest, room: int) -> tuple[GenerationRequest, TokenCount]:
    """`request` without as few of its oldest messages as it takes, which is found by halving, and its tokens."""
    low, high = 0, max(0, sum(message.role != "system" for message in request.messages or ()) - 1)
    while low < high:
        middle = (low + high) // 2
        fits = (await hub.count_tokens(without_oldest(request, middle))).n <= room
        low, high = (low, middle) if fits else (middle + 1, high)
    shortened = without_oldest(request, high)
    return shortened, await hub.count_tokens(shortened)


def without_oldest(request: GenerationRequest, count: int) -> GenerationRequest:
    """`request` without the first `count` messages that are not the system's, nor answers to calls among those."""
    kept: list[Message] = []
    for message in request.messages or ():
        orphan = message.role == "tool" and all(earlier.role == "system" for earlier in kept)
        if message.role == "system" or (count <= 0 and not orphan):
            kept.append(message)
        else:
            count -= 1
    return replace(request, messages=tuple(kept)) if request.messages is not None else request


def _at_most(request: GenerationRequest) -> int:
    """More tokens than the prompt can have: no token is shorter than a byte."""
    messages = request.messages or ()
    texts = (request.prompt or "", request.resume_text, *(message.content for message in messages))
    calls = orjson.dumps([request.tools, [message.tool_calls for message in messages]])
    around = AROUND_A_MESSAGE * (len(messages) + len(request.tools) + 1)
    return sum(len(text.encode()) for text in texts) + len(calls) + around
