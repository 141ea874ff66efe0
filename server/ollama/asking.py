"""From a request for an answer in Ollama's words to the answer: how it is sampled, and how long it is.

What `/api/chat` and `/api/generate` have in common. Each says for itself what the model is shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from backends.base import Event, GenerationRequest
from server.caller import caller_of
from server.hub import Hub
from server.ollama.answering import Ask, Line, in_one_piece, line_by_line
from server.ollama.answers import Form, Teller
from server.ollama.errors import Refused
from server.ollama.lines import unheeded_header
from server.ollama.options import Options, read_options
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
        asked, options = self.asked, read_options(self.asked.options, self.entry.temperature)
        full = self._filled(prompt, options)
        window = Window(self.entry.context_length, options.num_ctx, asked.truncate)
        teller = Teller(self.form, Stopwatch())

        async def lines(identity: str) -> AsyncGenerator[Line, None]:
            async with aclosing(self._events(replace(full, request_id=identity), window)) as events:
                async for event in events:
                    for line in teller.lines(event):
                        yield line

        async def whole(identity: str) -> Line:
            async with aclosing(self._events(replace(full, request_id=identity), window)) as events:
                return await teller.whole(events)

        ask = Ask(self.hub, self.request, asked.asked, unheeded_header((*asked.unheeded, *options.unheeded)))
        return line_by_line(ask, lines) if asked.stream else in_one_piece(ask, whole)

    def load(self) -> Response:
        """Nothing is asked: have the model in memory, or out of it, for as long as that is meant to be."""

        async def whole(identity: str) -> Line:
            del identity
            if self.asked.keep_alive == 0:
                await self.hub.unload_model(self.entry.name)
                return self.form.last("unload", {})
            with self.hub.residence.used(self.entry.name, self.asked.keep_alive):
                async with aclosing(self.hub.make_ready(self.entry.name)) as steps:
                    async for _ in steps:
                        pass
            return self.form.last("load", {})

        return in_one_piece(Ask(self.hub, self.request, self.asked.asked, unheeded_header(self.asked.unheeded)), whole)

    def _filled(self, prompt: GenerationRequest, options: Options) -> GenerationRequest:
        """`prompt` with all that was asked for beside it. Raises Refused."""
        think = None if self.asked.think is None else bool(self.asked.think)
        if think and "thinking" not in self.entry.capabilities:
            raise Refused(f'"{self.asked.asked}" does not support thinking')
        return replace(
            prompt,
            model=self.entry.name,
            params=options.params,
            think=think,
            response_format=self.asked.response_format,
            logprobs=self.asked.top_logprobs if self.asked.logprobs else None,
            fairness_key=caller_of(self.request.scope).client,
        )

    async def _events(self, prompt: GenerationRequest, window: Window) -> AsyncGenerator[Event, None]:
        with self.hub.residence.used(self.entry.name, self.asked.keep_alive):
            fitting = await fit(self.hub, prompt, window)
            async with aclosing(self.hub.generate(fitting)) as events:
                async for event in events:
                    yield event
