"""The backend on tiny models, and asking it, in the few words that tests need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    BackendError,
    Event,
    GenerationRequest,
    Message,
    Params,
    Text,
)
from backends.pytorch.adapter import PyTorchBackend

SECONDS = 30  # more than anything here takes on a busy machine
GREEDY = Params(temperature=0, max_tokens=8)


@asynccontextmanager
async def started(folder: Path, file: str = "Tiny.Q4_1.gguf", **options: Any) -> AsyncGenerator[PyTorchBackend, None]:
    backend = PyTorchBackend(folder / file, folder, threads=1, **options)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


def within(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), SECONDS)

    asyncio.run(bounded())


def request(request_id: str = "r", model: str = "tiny", **changes: Any) -> GenerationRequest:
    asked = {"messages": (Message("user", "hello"),), "params": GREEDY}
    if "prompt" in changes or "token_ids" in changes:
        del asked["messages"]
    return GenerationRequest(request_id, model, **{**asked, **changes})


async def events_of(backend: PyTorchBackend, asked: GenerationRequest) -> list[Event]:
    return [event async for event in backend.generate(asked)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


async def answer(backend: PyTorchBackend, asked: GenerationRequest) -> str:
    return text_of(await events_of(backend, asked))


async def error_of(backend: PyTorchBackend, asked: GenerationRequest) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await events_of(backend, asked)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def is_active(backend: PyTorchBackend, name: str) -> bool:
    return backend._active is not None and (backend._active.info.name, backend._active.info.state) == (name, "ready")


def requests_of(backend: PyTorchBackend) -> int:
    return backend._active.requests if backend._active is not None else 0
