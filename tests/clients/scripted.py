"""A backend whose models each do one thing that small real models do not do reliably, for tests of clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from backends.base import (
    Backend,
    BackendFailed,
    Done,
    Event,
    GenerationRequest,
    ModelInfo,
    Overloaded,
    Progress,
    Reasoning,
    Text,
    ToolCalls,
    Unsupported,
    Usage,
)

CALLED = {"city": "Paris"}
DOCUMENT = '{"city": "Paris", "people": 2}'
USAGE = Usage(prompt_tokens=7, cached_tokens=4, completion_tokens=3)


class Scripted(Backend):
    """The models:

    `caller`    calls the first of its tools for Paris; once a tool has answered, it says so in words
    `thinker`   thinks before it answers
    `author`    writes a document about Paris if one of a form is asked for
    `breaker`   fails after some words
    `full`      has no room, now and later
    `silent`    says nothing until it is stopped
    """

    name = "scripted"
    cancelled = 0  # requests of any instance that were given up

    async def list_models(self) -> Sequence[ModelInfo]:
        names = ("caller", "thinker", "author", "breaker", "full", "silent")
        return [ModelInfo(name, capabilities=("completion", "tools", "thinking")) for name in names]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        if request.logprobs is not None:
            raise Unsupported("The script has no logprobs.", field="logprobs")
        match request.model:
            case "caller" if request.tools and request.tool_choice != "none" and not _answered(request):
                name = request.tools[0]["function"]["name"]
                yield ToolCalls(({"id": "call_1", "name": name, "arguments": CALLED},))
                yield Done("tool_calls", USAGE)
                return
            case "caller":
                text = _answered(request) or "Nobody gave me tools."
            case "thinker":
                yield Reasoning("Let me ")
                yield Reasoning("see.")
                text = "It is Paris."
            case "author":
                text = DOCUMENT if request.response_format else "It is Paris."
            case "breaker":
                yield Text("so ")
                raise BackendFailed("It broke.")
            case "full":
                raise Overloaded("Engine overloaded.", retry_after=2)
            case _:
                yield Progress("queued", position=1)
                await self._until_stopped()
        for word in text.split(" "):
            yield Text(word if text.startswith(word) else f" {word}")
        yield Done("stop", USAGE)

    async def _until_stopped(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            Scripted.cancelled += 1


def _answered(request: GenerationRequest) -> str:
    """What a tool has answered, if it is the last message."""
    last = (request.messages or ())[-1:]
    return f"It said {last[0].content}." if last and last[0].role == "tool" else ""
