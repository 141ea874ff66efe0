"""A model on its way to answering: it is waited for, watched, given up, and says why it cannot be used."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from backends.base import (
    BackendFailed,
    Loading,
    ModelInvalid,
    ModelsChanged,
    Notice,
    Progress,
    StatsChanged,
)
from backends.pytorch.adapter import PyTorchBackend
from tests.backends.pytorch.serving import (
    answer,
    error_of,
    request,
    started,
    within,
)
from tests.tiny_model import CONTEXT


def test_start_returns_before_the_model_is_loaded(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            assert not (await backend.health()).ok
            info = (await backend.list_models())[0]
            assert (info.name, info.state) == ("tiny", "loading")
            await answer(backend, request())
            info = (await backend.list_models())[0]
            assert (info.state, info.context_length, info.quantization) == ("ready", CONTEXT, "Q4_1")
            assert info.size == (folder / "Tiny.Q4_1.gguf").stat().st_size
            assert (await backend.health()).ok

    within(test)


def test_a_request_while_loading_can_be_closed(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            generator = backend.generate(request("gone"))
            event = await anext(generator)
            assert isinstance(event, Progress)
            assert event.phase == "loading"
            await generator.aclose()
            assert await answer(backend, request("stays"))

    within(test)


def test_those_who_listen_hear_of_loading_and_of_its_end(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            heard: list[Notice] = []
            backend.notify = heard.append
            await answer(backend, request())
            loads = [notice for notice in heard if isinstance(notice, Loading)]
            assert loads
            assert [notice.done for notice in loads] == sorted(notice.done for notice in loads)
            assert isinstance([notice for notice in heard if not isinstance(notice, StatsChanged)][-1], ModelsChanged)

    within(test)


def test_closing_ends_the_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        backend = PyTorchBackend(folder / "Tiny.Q4_1.gguf", folder, threads=1)
        await backend.start()
        waiting = asyncio.create_task(error_of(backend, request()))
        await asyncio.sleep(0)
        await backend.close()
        assert isinstance(await waiting, BackendFailed)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine ")]

    within(test)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no model file"), (b"", "is empty"), (b"GGUF\3\0\0\0", "cannot be loaded")],
)
def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "broken.gguf"
    if content is not None:
        path.write_bytes(content)

    async def test() -> None:
        async with started(tmp_path, "broken.gguf") as backend:
            error = await error_of(backend, request(model="broken"))
            assert isinstance(error, ModelInvalid)
            assert reason in error.message
            info = (await backend.list_models())[0]
            assert info.state == "failed"
            assert reason in str(info.reason)
            health = await backend.health()
            assert not health.ok
            assert reason in str(health.reason)

    within(test)
