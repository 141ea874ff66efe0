"""Answers from an Ollama server, over its own API.

Owns the order of the calls: ask what the model can do, have it loaded, ask it, read its answer. How requests
look is `asking`'s, how answers do `answer`'s, what models there are `catalog`'s, what a refusal means `errors`'.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.base import (
    Backend,
    BackendError,
    BackendFailed,
    BackendUnreachable,
    Done,
    Event,
    GenerationRequest,
    Health,
    Loading,
    ModelInfo,
    ModelNotFound,
    ModelsChanged,
    Phase,
    Progress,
    Timings,
    Unsupported,
)
from backends.calls import Call, drain
from backends.http import StatusError
from backends.ollama.answer import Answer
from backends.ollama.asking import build_call, check_supported
from backends.ollama.catalog import Catalog
from backends.ollama.client import OllamaClient
from backends.ollama.errors import refused, told
from backends.ollama.models import Facts, canonical, is_model_name
from backends.ollama.pull import pull
from backends.patience import Patience

if TYPE_CHECKING:
    import httpx

UNLOAD_TIMEOUT = 10.0  # seconds


class OllamaBackend(Backend):
    """The models of one Ollama server.

    `host` empty: the usual address on this machine, and nobody there is no failure. `model` is the first of the list.
    `num_ctx` and `options` (Ollama's own, such as `num_thread`) go with every request alike: another value of some of
    them makes the server load the model anew. `first_token_timeout` covers queueing and a long prompt, and once more
    loading; `idle_timeout` the time between two pieces. All in seconds. Raises ValueError for a `host` that is no
    address.
    """

    name = "ollama"
    continues = True  # models whose template leaves the last message open

    def __init__(
        self,
        host: str = "",
        model: str = "",
        num_ctx: int | None = None,
        *,
        options: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        insecure_registry: bool = False,
        connect_timeout: float = 3.0,
        first_token_timeout: float = 300.0,
        idle_timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = OllamaClient(host, connect_timeout=connect_timeout, headers=headers, transport=transport)
        self._catalog = Catalog(self._client, num_ctx)
        self._num_ctx = num_ctx
        self._model = model
        self._options = {**(options or {}), **({"num_ctx": num_ctx} if num_ctx else {})}
        self._insecure_registry = insecure_registry
        self._patience = Patience(first_token_timeout, idle_timeout)
        self._may_be_absent = not host  # until it has been seen once
        self._streaming: Counter[str] = Counter()  # answers that have begun, by canonical model name

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        check_supported(request)
        asked = time.monotonic()
        facts = await self._catalog.facts(request.model)
        if request.tools and facts.can("tools") is False:
            toolless = f"The model {request.model} cannot call tools. Pick one that can, or leave tools out."
            raise Unsupported(toolless, field="tools")
        if request.resume_text and request.prompt is None and not facts.continues:
            closed = f"The model {request.model} cannot go on with an answer that has begun. Ask again instead."
            raise Unsupported(closed, field="resume_text")
        loaded = await self._catalog.loaded()
        if loaded is not None and canonical(request.model) not in loaded and not facts.remote:
            yield Progress("loading")
            async with aclosing(self._load_into_memory(request.model)) as seconds:
                async for _ in seconds:
                    yield Progress("loading")
            yield Progress("prefill")
        most_tokens = self._num_ctx or facts.num_ctx or facts.context_length
        call = build_call(request, self._options, _think(request, facts), most_tokens)
        async with aclosing(self._ask(request.model, call, asked)) as events:
            async for event in events:
                yield event

    async def list_models(self) -> Sequence[ModelInfo]:
        try:
            models = await self._catalog.models()
        except BackendError:
            if self._may_be_absent:
                return []
            raise
        self._may_be_absent = False
        return self._preferred_first(models)

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        """Fetch `model` where Ollama does not have it, then have it in memory; the last step names it as listed."""
        if not is_model_name(model):
            raise ModelNotFound("That is not the name of a model. Names look like gemma:2b.")
        name = await self._listed_name(model)
        if name is None:
            timeout = self._patience.first
            async with aclosing(pull(self._client, model, insecure=self._insecure_registry, timeout=timeout)) as steps:
                async for step in steps:
                    yield step
            self.notify(ModelsChanged())
            name = await self._listed_name(model) or model
        if not (await self._catalog.facts(model)).remote:
            yield Loading(model, "Loading into memory")
            async with aclosing(self._load_into_memory(model)) as seconds:
                async for _ in seconds:
                    yield Loading(model, "Loading into memory")
        yield Loading(name, "ready")

    async def unload(self, model: str) -> None:
        call = self._memory_call(model)
        try:
            await self._client.post(Call(call.path, {**call.body, "keep_alive": 0}), timeout=UNLOAD_TIMEOUT)
        except StatusError as error:
            if error.status != 404:  # what is not there takes no memory
                raise refused(error, model) from error
        self.notify(ModelsChanged())

    async def health(self) -> Health:
        try:
            await self._client.alive()
            models = await self.list_models()
        except BackendError as error:
            return Health(False, error.message)
        if any(info.reason is None for info in models):
            return Health(True)
        return Health(False, "Ollama has no models yet. Fetch one with `ollama pull`, or load one here by its name.")

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, model: str, call: Call, asked: float) -> AsyncGenerator[Event, None]:
        """The events of one call, `Progress` while it is silent and `Done` at its end."""
        answer = Answer(model, split_tags=call.path == "/api/chat" and "think" not in call.body)
        try:
            async with aclosing(self._events(model, call, answer)) as events:
                async for event in events:
                    yield event
        except StatusError as error:
            if error.status != 400 or "think" not in call.body:
                raise refused(error, model) from error
            async with aclosing(self._ask(model, _without_think(call), asked)) as events:
                async for event in events:
                    yield event
            return
        if answer.only_loaded:
            raise BackendFailed("Ollama loaded the model, but gave no answer. Ask again.")
        yield Done(answer.finish_reason, answer.usage, _timings(asked, answer))

    async def _events(self, model: str, call: Call, answer: Answer) -> AsyncGenerator[Event, None]:
        key = canonical(model)
        try:
            async with aclosing(self._client.lines(call, self._patience)) as lines:
                async for line in lines:
                    if line is None:
                        yield Progress(self._silent_phase(key, answer))
                        continue
                    self._streaming[key] += not answer.begun
                    for event in answer.feed(line):
                        yield event
                    if answer.done:
                        await drain(lines)
                        break
        except BackendError:
            for event in answer.release():
                yield event
            raise
        finally:
            self._streaming[key] -= answer.begun
        for event in answer.finish():
            yield event

    def _silent_phase(self, key: str, answer: Answer) -> Phase:
        """What a silent request does, as far as can be told from here: the server itself says nothing of its queue."""
        if answer.begun:
            return "decoding"
        return "queued" if self._streaming[key] else "prefill"

    async def _load_into_memory(self, model: str) -> AsyncGenerator[None, None]:
        """Ask nothing of the model, which loads it; yields once a second meanwhile."""
        answer = Answer(model, split_tags=False)
        with told(model):
            async with aclosing(self._client.lines(self._memory_call(model), self._patience)) as lines:
                async for line in lines:
                    if line is None:
                        yield None
                    else:
                        list(answer.feed(line))  # raises what went wrong; there is nothing else in it
        list(answer.finish())
        self.notify(ModelsChanged())

    async def _listed_name(self, model: str) -> str | None:
        try:
            return await self._catalog.listed_name(model)
        except BackendUnreachable:
            if self._may_be_absent:  # there is no Ollama that anybody knows of: the name is meant for another backend
                raise ModelNotFound(f"There is no model {model} here. Pick one from the list.") from None
            raise

    def _memory_call(self, model: str) -> Call:
        return Call("/api/chat", {"model": model, "messages": [], "options": self._options})

    def _preferred_first(self, models: list[ModelInfo]) -> list[ModelInfo]:
        if not self._model:
            return models
        preferred = canonical(self._model)
        if all(canonical(info.name) != preferred for info in models):
            missing = ModelInfo(self._model, state="available", reason="Not downloaded yet. Loading it fetches it.")
            return [*models, missing]
        return sorted(models, key=lambda info: canonical(info.name) != preferred)


def _think(request: GenerationRequest, facts: Facts) -> bool | None:
    """What to say about thinking: nothing to models that cannot, else yes or no, as servers differ in the default."""
    if request.messages is None or not facts.can("thinking"):
        return None
    return request.think is not False


def _without_think(call: Call) -> Call:
    return replace(call, body={key: value for key, value in call.body.items() if key != "think"})


def _timings(asked: float, answer: Answer) -> Timings:
    """As the asker felt them: the server's own clock leaves out what was before it began."""
    first = answer.first_piece_at
    return Timings(
        ttft_ms=None if first is None else (first - asked) * 1000,
        total_ms=(time.monotonic() - asked) * 1000,
        tokens_per_second=answer.tokens_per_second,
    )
