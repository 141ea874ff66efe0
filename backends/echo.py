"""The smallest backend: it says what it was told. An example for writers, and a backend that needs no model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

from backends.base import Backend, Done, Event, GenerationRequest, ModelInfo, ModelNotFound, Text, Unsupported, Usage


class EchoBackend(Backend):
    """Repeats the last message, a word at a time, `delay` seconds apart. A token is a word's number."""

    name = "echo"
    resumes = continues = True

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo("echo", context_length=32_768, capabilities=("completion", "continue"))]

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        if request.model != "echo":
            raise ModelNotFound(f"There is no model {request.model} here. The only one is called echo.")
        for field in ("logprobs", "response_format", "token_ids", "tools"):
            if getattr(request, field) not in (None, ()):
                raise Unsupported(f"An echo cannot be asked with {field}. Leave it out, or pick a model.", field=field)
        prompt = request.messages[-1].content if request.messages else request.prompt or ""
        words = re.findall(r"\S+\s*|\s+", prompt.removeprefix(request.resume_text))
        limit = request.params.max_tokens
        spoken = words if limit is None else words[:limit]
        for number, word in list(enumerate(spoken))[len(request.resume_token_ids) :]:
            await asyncio.sleep(self.delay)  # even 0 lets others run, and lets us be cancelled
            yield Text(word, token_ids=(number,))
        usage = Usage(prompt_tokens=len(words), completion_tokens=len(spoken))
        yield Done("stop" if len(spoken) == len(words) else "length", usage)
