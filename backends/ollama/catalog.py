"""What is known of an Ollama server's models: which there are, which are in memory, and what each can do.

Asks the server, and remembers by digest what a model can do. Knows nothing of answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from backends.base import BackendError, BackendFailed, BackendTimeout, ModelInfo, ModelNotFound
from backends.calls import Call
from backends.fields import JsonObject
from backends.http import StatusError
from backends.ollama.client import OllamaClient
from backends.ollama.errors import told
from backends.ollama.models import (
    Facts,
    canonical,
    entries,
    entry_digest,
    entry_name,
    facts_of_entry,
    facts_of_show,
    is_model_name,
    model_info,
)

SHOW_TIMEOUT = 30.0  # seconds: the server reads the model's file for it
SHOWN_AT_ONCE = 4


class Catalog:
    """The models of one server. Every method may raise a BackendError."""

    def __init__(self, client: OllamaClient, num_ctx: int | None = None, learn_timeout: float = 3.0) -> None:
        self._client = client
        self._num_ctx = num_ctx
        self._learn_timeout = learn_timeout  # seconds, for what all models of a list can do
        self._facts: dict[str, Facts] = {}  # by digest, and by name for a model that no list has shown yet
        self._digests: dict[str, str] = {}  # by canonical name

    async def models(self) -> list[ModelInfo]:
        """The models that can answer, each with what it can do and whether it is in memory."""
        listed = await self._listed()
        loaded, facts = await asyncio.gather(self.loaded(), self._facts_of_all(listed))
        return [
            model_info(entry, known, (loaded or {}).get(canonical(entry_name(entry))), self._num_ctx)
            for entry, known in zip(listed, facts, strict=True)
            if known.can("completion") is not False  # a model that makes embeddings alone has nothing to say
        ]

    async def listed_name(self, model: str) -> str | None:
        """The name that the model of this name is listed by; None: the server does not have it."""
        names = (entry_name(entry) for entry in await self._listed())
        return next((name for name in names if canonical(name) == canonical(model)), None)

    async def loaded(self) -> dict[str, JsonObject] | None:
        """The models in memory by canonical name; None where the server does not tell."""
        try:
            return {canonical(entry_name(entry)): entry for entry in entries(await self._client.get("/api/ps"))}
        except (BackendError, StatusError):
            return None

    async def facts(self, model: str) -> Facts:
        """What `model` can do, as far as the server shows it. Raises ModelNotFound for one the server does not have."""
        key = self._digests.get(canonical(model), canonical(model))
        known = self._facts.get(key, Facts())
        if known.continues is None:
            with suppress(BackendFailed, BackendTimeout):  # it may be asked all the same
                known = self._facts[key] = await self._show(model)
        return known

    async def _listed(self) -> list[JsonObject]:
        with told():
            return entries(await self._client.get("/api/tags"))

    async def _show(self, model: str) -> Facts:
        if not is_model_name(model):
            raise ModelNotFound("That is not the name of a model. Pick one from the list.")
        with told(model):
            return facts_of_show(await self._client.post(Call("/api/show", {"model": model}), timeout=SHOW_TIMEOUT))

    async def _facts_of_all(self, listed: Sequence[JsonObject]) -> list[Facts]:
        self._digests = {canonical(entry_name(entry)): entry_digest(entry) for entry in listed}
        self._facts = {key: facts for key, facts in self._facts.items() if key in self._digests.values()}
        for entry in listed:
            if (told_in_list := facts_of_entry(entry)) is not None:
                self._facts.setdefault(entry_digest(entry), told_in_list)
        at_once = asyncio.Semaphore(SHOWN_AT_ONCE)

        async def learn(model: str) -> None:
            async with at_once:
                with suppress(BackendError):
                    await self.facts(model)

        with suppress(TimeoutError):  # the list is not kept waiting; the next one knows more
            async with asyncio.timeout(self._learn_timeout):
                one_name_each = {entry_digest(entry): entry_name(entry) for entry in listed}
                await asyncio.gather(*map(learn, one_name_each.values()))
        return [self._facts.get(entry_digest(entry), Facts()) for entry in listed]
