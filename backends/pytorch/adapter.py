"""The in-process engine behind the interface of a backend.

Owns the bridge between the event loop and the engine's thread, and which model is the active one. Loading another model
happens beside the active one, which is left only when the other is ready: its running answers are finished.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Literal

from backends.base import (
    Backend,
    Event,
    GenerationRequest,
    Health,
    Loading,
    ModelInfo,
    ModelNotFound,
    ModelsChanged,
    ModelState,
    Overloaded,
    Stats,
    StatsChanged,
    TokenCount,
    Unsupported,
)
from backends.pytorch.files import ModelFiles, advised_temperature, model_name, quantization
from backends.pytorch.forms import has_form
from backends.pytorch.model import RETRY_AFTER, ServedModel
from backends.pytorch.tool_calls import with_calls
from backends.pytorch.tools import callable_functions, must_call, offers_tools
from engine.config import EngineConfig
from engine.errors import ModelLoadError
from engine.loader.gguf import GGUFFile
from engine.sampling_params import MOST_ANSWERS


class PyTorchBackend(Backend):
    """Serves one GGUF file at a time, at first the one at `model_path`; others are looked for in `model_dir`."""

    name = "pytorch"
    resumes = continues = branches = True

    def __init__(
        self,
        model_path: Path | str,
        model_dir: Path | str = "models",
        max_batch_size: int = 16,
        max_queue_size: int = 256,
        threads: int = 0,
        context_length: int | None = None,
        tokenizer_path: Path | None = None,
        kernels: Literal["auto", "off"] = "auto",
        kv_tokens: int | None = None,
        kv_dtype: Literal["auto", "float32", "bfloat16", "int8"] = "auto",
        speculation: Literal["auto", "off"] = "auto",
    ) -> None:
        """`threads` 0 is one a core; `context_length` makes the models' own shorter; the rest is as in `EngineConfig`.

        `kernels` "off" computes with PyTorch's even where our own are built; `speculation` "off" never guesses ahead.
        `tokenizer_path` is a `tokenizer.json` for the model at `model_path`, in place of the one in its file.
        """
        self._model_path = Path(model_path)
        self._tokenizer_path = tokenizer_path
        self._files = ModelFiles(Path(model_dir), describe_model)
        self._config = EngineConfig(
            dtype_path="fast" if kernels == "auto" else "eager",
            threads=threads,
            max_batch_size=max_batch_size,
            max_queue_size=max_queue_size,
            context_length=context_length,
            kv_tokens=kv_tokens,
            kv_dtype=kv_dtype,
            speculation=speculation == "auto",
        )
        self._active: ServedModel | None = None
        self._next: ServedModel | None = None
        self._draining: list[ServedModel] = []
        self._unloaded = False

    async def start(self) -> None:
        """Begin to load the model of the settings."""
        if self._active is None:
            self._active = self._serve(self._model_path)

    async def close(self) -> None:
        """End all engines, running answers and loading included."""
        models = [model for model in (self._active, self._next, *self._draining) if model is not None]
        self._active = self._next = None
        self._draining = []
        await asyncio.gather(*(model.close() for model in models))

    async def list_models(self) -> Sequence[ModelInfo]:
        """The active model, what is loading or draining, and the files that could be loaded."""
        served = [model.info for model in (self._active, self._next, *self._draining) if model is not None]
        if not served:
            served = [replace(_plain_info(self._model_path), state="available" if self._unloaded else "loading")]
        files = await asyncio.to_thread(self._files.scan)
        found = {name: info for name, (_, info) in files.items()}
        names = {info.name for info in served}
        known = [_with_facts(info, found.get(info.name, info)) for info in served]
        return [*known, *(info for name, info in found.items() if name not in names)]

    async def health(self) -> Health:
        if self._active is None:
            return Health(False, "The engine has not been started.")
        info = self._active.info
        if info.state == "ready":
            return Health(True, details={"model": info.name, "requests": self._active.requests})
        return Health(False, info.reason or f"The model {info.name} is still being loaded.")

    def stats(self) -> Stats | None:
        """Of the active model's engine, once it is built."""
        return self._active.stats if self._active is not None else None

    async def load(self, model: str) -> AsyncGenerator[Loading, None]:
        """Make `model` the active one. If that fails, the active one stays."""
        served = await self._find(model, again=True)
        async for done, total in served.loading():
            yield Loading(model, f"Loading {model}", done, total)
        yield Loading(model, "ready")

    async def unload(self, model: str) -> None:
        """End the engine, when `model` is its; what runs is finished first. Whoever asks it next loads it again."""
        if self._active is not None and (self._active.info.name, self._active.info.state) == (model, "ready"):
            self._drain(self._active)
            self._active, self._unloaded = None, True
            self.notify(ModelsChanged())

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """Answer with the engine, loading the model first if need be. Closing the generator frees the slot at once."""
        _check(request)
        arrived = time.monotonic()
        served = await self._find(request.model)
        if served.requests >= self._config.max_batch_size + self._config.max_queue_size:
            raise Overloaded("Engine overloaded.", retry_after=RETRY_AFTER)
        async with aclosing(served.answer(request, arrived)) as events:
            async for event in with_calls(events) if offers_tools(request) else events:
                yield event

    async def count_tokens(self, request: GenerationRequest) -> TokenCount:
        """Exact once the model is loaded."""
        if self._active is None or self._active.info.state != "ready":
            return await super().count_tokens(request)
        return TokenCount(await self._active.count_tokens(request), exact=True)

    async def _find(self, name: str, *, again: bool = False) -> ServedModel:
        """The model of that name, which begins to load if it is neither active nor loading already.

        An active one that has failed is tried `again` only when that is asked for: an engine that keeps breaking stays
        down until somebody loads it.
        """
        if (served := self._served(name, again)) is not None:
            return served
        files = await asyncio.to_thread(self._files.scan)
        if (served := self._served(name, again)) is not None:  # somebody else asked for it meanwhile
            return served
        path = self._model_path if name == model_name(self._model_path) else files.get(name, (None,))[0]
        if path is None:
            raise ModelNotFound(f"There is no model {name[:80]!r} here. Pick one from the list.")
        if self._active is None or self._active.info.state == "failed":
            self._active = self._serve(path)
            return self._active
        if self._next is not None:
            busy = f"The model {self._next.info.name} is being loaded. Try again when it is ready."
            raise Overloaded(busy, retry_after=RETRY_AFTER)
        self._next = self._serve(path)
        return self._next

    def _served(self, name: str, again: bool) -> ServedModel | None:
        for model in (self._active, self._next):
            if model is not None and model.info.name == name and not (again and model.info.state == "failed"):
                return model
        return None

    def _serve(self, path: Path) -> ServedModel:
        rules = self._tokenizer_path if path == self._model_path else None
        config = replace(self._config, tokenizer_path=rules)
        return ServedModel(path, _plain_info(path), config, self._changed, self._measured)

    def _drain(self, model: ServedModel) -> None:
        model.drain()
        self._draining.append(model)

    def _measured(self, model: ServedModel) -> None:
        if model is self._active:
            self.notify(StatsChanged())

    def _changed(self, model: ServedModel, before: ModelState) -> None:
        """A model's state or progress is another: the one place where the active model changes."""
        if model is self._next and model.info.state == "ready":
            if self._active is not None:
                self._drain(self._active)
            self._active, self._next = model, None
        elif model is self._next and model.info.state == "failed":
            self._next = None
        elif model in self._draining and model.ended:
            self._draining.remove(model)
        if model.info.state == "loading":
            self.notify(Loading(model.info.name, f"Loading {model.info.name}", model.done, model.total))
        if (before, model.info.state) != ("loading", "loading"):
            self.notify(ModelsChanged())


def _check(request: GenerationRequest) -> None:
    """Raises Unsupported for what the engine cannot do, naming it."""
    if not 1 <= request.n <= MOST_ANSWERS:
        raise Unsupported(f"n must be from 1 to {MOST_ANSWERS}.", field="n")
    if request.n > 1 and request.resume_token_ids:
        raise Unsupported("Only one answer can be resumed.", field="n")
    if offers_tools(request):
        callable_functions(request)
    if request.params.stop and (request.response_format is not None or must_call(request)):
        raise Unsupported("A stop string could cut a document or a call in two. Leave it out.", field="stop")
    if has_form(request) and request.resume_text:
        raise Unsupported("An answer in a form cannot go on from other words.", field="resume_text")
    if offers_tools(request) and (request.messages is None or request.resume_token_ids):
        raise Unsupported("Tools can be called in answers to messages that begin anew.", field="tools")
    if request.params.diffusion is not None:
        raise Unsupported("The engine runs no diffusion models. Leave diffusion out.", field="diffusion")


def _plain_info(path: Path) -> ModelInfo:
    """What a file's name and size tell."""
    size = path.stat().st_size if path.is_file() else None
    return ModelInfo(
        model_name(path),
        state="loading",
        size=size,
        quantization=quantization(path),
        temperature=advised_temperature(path),
        capabilities=("completion", "continue", "tools"),
    )


def _with_facts(info: ModelInfo, found: ModelInfo) -> ModelInfo:
    """What is known of a model that is served, with what its file tells."""
    return replace(
        info,
        context_length=info.context_length or found.context_length,
        family=found.family,
        parameters=found.parameters,
        embedding_length=found.embedding_length,
    )


def describe_model(path: Path) -> ModelInfo:
    """What the head of a file tells. A file that cannot be used is listed with the reason."""
    info = replace(_plain_info(path), state="available")
    try:
        with GGUFFile.open(path) as file:
            family = file.architecture
            lengths = [file.metadata.get(f"{family}.{name}_length") for name in ("context", "embedding")]
            parameters = sum(math.prod(tensor.shape) for tensor in file.tensors.values())
    except ModelLoadError as error:
        return replace(info, state="failed", reason=str(error))
    context, embedding = (length if isinstance(length, int) else None for length in lengths)
    return replace(info, context_length=context, embedding_length=embedding, family=family, parameters=parameters)
