"""Answers from a server that speaks OpenAI's API: vLLM, llama.cpp's, SGLang, LM Studio, OpenAI itself, or one of ours.

Owns the order of the calls: know the model, ask it, ask again without what the server will not have, read the answer.
How requests look is `asking`'s, how answers do `answer`'s, what models there are `models`', what refusals mean
`errors`'.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from backends.base import (
    Backend,
    BackendError,
    Done,
    Event,
    GenerationRequest,
    ModelInfo,
    ModelsChanged,
    Phase,
    Progress,
    Reasoning,
    Timings,
)
from backends.calls import DRAIN_TIMEOUT, Call, Record
from backends.http import StatusError
from backends.openai.answer import Answer
from backends.openai.asking import CHAT, Asking, build_asking
from backends.openai.client import OpenAIClient
from backends.openai.errors import field_refused, refused
from backends.openai.models import Facts, model_info, preferred_first, read_models
from backends.patience import Patience
from backends.wording import clean

if TYPE_CHECKING:
    import httpx


class OpenAIBackend(Backend):
    """The models of one OpenAI-compatible server.

    `host` is its address, `key` what it is shown. `model` is the first of the list, and the only one where the server
    lists none. `first_token_timeout` covers queueing, loading and a long prompt, `idle_timeout` the time between two
    pieces; all in seconds. Raises ValueError for a `host` that is no address, and for a `key` that is none.
    """

    name = "openai"
    continues = True  # models of servers that can

    def __init__(
        self,
        host: str,
        key: str = "",
        model: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 3.0,
        first_token_timeout: float = 300.0,
        idle_timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = OpenAIClient(host, key, connect_timeout=connect_timeout, headers=headers, transport=transport)
        self._model = model
        self._patience = Patience(first_token_timeout, idle_timeout)
        self._models: dict[str, Facts] | None = None  # by the name they are listed by; None: not asked yet
        self._refused: dict[str, frozenset[str]] = {}  # by listed model, the fields its server will not have
        self._thinkers: set[str] = set()  # listed models that have been seen to think: no list tells
        self._streaming = 0  # answers that have begun

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        asked = time.monotonic()
        facts = await self._facts(request.model)
        asking = build_asking(request, facts)
        answer = Answer(request.model, split_tags=asking.path == CHAT and not request.resume_text)
        async with aclosing(self._asked(request.model, asking, answer)) as events:
            async for event in events:
                if isinstance(event, Reasoning):
                    self._note_thinker(request.model)
                yield event
        yield Done(answer.finish_reason, answer.usage, _timings(asked, answer))

    async def list_models(self) -> Sequence[ModelInfo]:
        try:
            self._models = read_models(await self._client.get("/models"))
        except StatusError as error:
            if error.status not in (404, 405, 501) or not self._model:
                raise refused(error) from error
            self._models = {self._model: Facts(self._model)}  # it lists none, but one is known to be there
        self._refused = {name: fields for name, fields in self._refused.items() if name in self._models}
        self._thinkers.intersection_update(self._models)
        elsewhere = self._client.elsewhere
        models = [
            model_info(name, facts, elsewhere=elsewhere, thinks=name in self._thinkers)
            for name, facts in self._models.items()
        ]
        return preferred_first(models, self._model)

    async def close(self) -> None:
        await self._client.close()

    async def _facts(self, model: str) -> Facts:
        """What is known of the model. One that is not listed may be there all the same: the server will say."""
        if self._models is None:
            with suppress(BackendError):
                await self.list_models()
        return (self._models or {}).get(model) or Facts(model)

    async def _asked(self, model: str, asking: Asking, answer: Answer) -> AsyncGenerator[Event, None]:
        """The answer's events, asked for again as long as the server refuses a field that can be left out."""
        without = self._refused.get(model, frozenset())
        while True:
            call = asking.call(without)
            try:
                async with aclosing(self._events(call, answer)) as events:
                    async for event in events:
                        yield event
                return
            except StatusError as error:
                spare = {name for field in asking.fields for name in field.names if name in call.body}
                name = field_refused(error, spare)
                if name is None:
                    raise refused(error, model) from error
                without = asking.without(name, without, clean(error.text))
                if model in (self._models or {}):
                    self._refused[model] = without

    async def _events(self, call: Call, answer: Answer) -> AsyncGenerator[Event, None]:
        counted = 0
        try:
            async with aclosing(self._client.watched(self._folded(call, answer), self._patience)) as pieces:
                async for piece in pieces:
                    counted, before = int(answer.begun), counted
                    self._streaming += counted - before
                    yield Progress(self._silent_phase(answer)) if piece is None else piece
        except BackendError:
            for event in answer.release():
                yield event
            raise
        finally:
            self._streaming -= counted
        for event in answer.finish():
            yield event

    async def _folded(self, call: Call, answer: Answer) -> AsyncGenerator[Event, None]:
        async with aclosing(self._client.records(call)) as chunks:
            async for chunk in chunks:
                for event in answer.feed(chunk):
                    yield event
                if answer.whole:
                    break
            for event in await _rest(chunks, answer):
                yield event

    def _note_thinker(self, model: str) -> None:
        if model not in self._thinkers and model in (self._models or {}):
            self._thinkers.add(model)
            self.notify(ModelsChanged())

    def _silent_phase(self, answer: Answer) -> Phase:
        """What a silent request does, as far as can be told from here: the server itself says nothing of its queue."""
        if answer.begun:
            return "decoding"
        return "queued" if self._streaming else "prefill"


async def _rest(chunks: AsyncGenerator[Record, None], answer: Answer) -> list[Event]:
    """What comes after the reason for the end: the usage, and the end of the body."""
    late: list[Event] = []
    with suppress(BackendError, TimeoutError):  # the answer is whole without it
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for chunk in chunks:
                late += answer.feed(chunk)
    return late


def _timings(asked: float, answer: Answer) -> Timings:
    """As the asker felt them."""
    first = answer.first_piece_at
    return Timings(
        ttft_ms=None if first is None else (first - asked) * 1000,
        total_ms=(time.monotonic() - asked) * 1000,
        tokens_per_second=answer.tokens_per_second,
    )
