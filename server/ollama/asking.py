"""From a request for an answer in Ollama's words to the answer: how it is sampled, and how long it is.

What `/api/chat` and `/api/generate` have in common. Each says for itself what the model is shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import orjson
from starlette.requests import Request
from starlette.responses import Response

from backends.base import BackendFailed, Done, Event, GenerationRequest
from server.caller import caller_of
from server.hub import Hub
from server.ollama.answering import Line, Work, answer
from server.ollama.answers import Form, Piece, Teller
from server.ollama.errors import Refused
from server.ollama.lines import JSON, unheeded_header
from server.ollama.options import read_options
from server.ollama.requests import AnswerRequest
from server.ollama.stopwatch import Stopwatch
from server.ollama.window import Window, fit
from server.protocol import ModelEntry


def check_images(images: Sequence[str], entry: ModelEntry) -> None:
    """Raises Refused where there are any: no model here is shown images."""
    if images:
        raise Refused(f'"{entry.name}" does not support images. Leave them out.')


@dataclass(slots=True, frozen=True)
class Asking:
    """A request for an answer by the model `entry`. `form`: how it is laid out."""

    hub: Hub
    request: Request
    entry: ModelEntry
    asked: AnswerRequest
    form: Form

    def answer(self, prompt: GenerationRequest) -> Response:
        """The answer to `prompt`, which has what the model is shown. Raises Refused."""
        asked = self.asked
        options = read_options(asked.options, self.entry.temperature)
        full = replace(
            prompt,
            model=self.entry.name,
            params=options.params,
            think=None if asked.think is None else bool(asked.think),
            response_format=asked.response_format,
            logprobs=asked.top_logprobs if asked.logprobs else None,
            fairness_key=caller_of(self.request.scope).client,
        )
        window = Window(self.entry.context_length, options.num_ctx, asked.truncate)
        teller = Teller(self.form, Stopwatch())

        async def lines(identity: str) -> AsyncGenerator[Line, None]:
            async with aclosing(self._events(replace(full, request_id=identity), window)) as events:
                async for event in events:
                    for line in teller.lines(event):
                        yield line

        async def whole(identity: str) -> Line:
            piece = Piece()
            async with aclosing(self._events(replace(full, request_id=identity), window)) as events:
                async for event in events:
                    teller.gather(event, piece)
                    if isinstance(event, Done):
                        return teller.last(event, piece)
            raise BackendFailed("The answer had no end.")

        headers = unheeded_header((*asked.unheeded, *options.unheeded))
        return answer(self.hub, self.request, Work(lines, whole, asked.asked, headers), stream=asked.stream)

    async def load(self) -> Response:
        """Nothing is asked: have the model in memory, or out of it, for as long as that is meant to be."""
        unloads = self.asked.keep_alive == 0
        if unloads:
            await self.hub.unload_model(self.entry.name)
        else:
            with self.hub.residence.used(self.entry.name, self.asked.keep_alive):
                async with aclosing(self.hub.make_ready(self.entry.name)) as steps:
                    async for _ in steps:
                        pass
        body = self.form.last("unload" if unloads else "load", {})
        return Response(orjson.dumps(body), headers={**unheeded_header(self.asked.unheeded), "content-type": JSON})

    async def _events(self, prompt: GenerationRequest, window: Window) -> AsyncGenerator[Event, None]:
        with self.hub.residence.used(self.entry.name, self.asked.keep_alive):
            fitting = await fit(self.hub, prompt, window)
            async with aclosing(self.hub.generate(fitting)) as events:
                async for event in events:
                    yield event
