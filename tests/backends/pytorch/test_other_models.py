"""The files beside the active model: what the list says of them, and changing to another one."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path
from typing import Any

import pytest

from backends.base import (
    Loading,
    ModelInvalid,
    ModelNotFound,
    Params,
)
from backends.pytorch.adapter import PyTorchBackend, describe_model
from backends.pytorch.files import ModelFiles, advised_temperature
from engine.loader.gguf import GGUFFile
from tests.backends.pytorch.serving import (
    answer,
    error_of,
    request,
    requests_of,
    started,
    until,
    within,
)
from tests.tiny_model import CONTEXT, write_tiny_model


def test_files_in_the_folder_are_listed_with_what_their_heads_say(folder: Path) -> None:
    (folder / "bad.gguf").write_bytes(b"not a model")
    os.mkfifo(folder / "pipe.gguf")
    (folder / "loop.gguf").symlink_to(folder / "loop.gguf")
    (folder / "away.gguf").symlink_to("/etc/hostname")
    (folder / "folder.gguf").mkdir()

    async def test() -> None:
        async with started(folder) as backend:
            models = {info.name: info for info in await backend.list_models()}
            assert set(models) == {"tiny", "other", "bad"}
            assert models["other"].state == "available"
            assert models["other"].context_length == CONTEXT
            assert models["other"].quantization == "F16"
            assert (models["tiny"].family, models["other"].family) == ("llama", "llama"), "whether it is loaded or not"
            assert models["tiny"].parameters == models["other"].parameters == tiny_parameters(folder)
            assert models["bad"].state == "failed"
            assert "not a GGUF file" in str(models["bad"].reason)

    within(test)


def tiny_parameters(folder: Path) -> int:
    with GGUFFile.open(folder / "Tiny.Q4_1.gguf") as file:
        return sum(math.prod(tensor.shape) for tensor in file.tensors.values())


@pytest.mark.parametrize(
    ("file", "temperature"), [("SmolLM2-135M-Instruct.Q4_1.gguf", 0.2), ("smollm3-3b.gguf", None), ("tiny.gguf", None)]
)
def test_a_temperature_is_advised_for_models_whose_makers_do(file: str, temperature: float | None) -> None:
    assert advised_temperature(Path(file)) == temperature


def test_a_head_is_read_again_only_when_the_file_has_changed(folder: Path) -> None:
    read: list[str] = []

    def describe(path: Path) -> Any:
        read.append(path.name)
        return describe_model(path)

    files = ModelFiles(folder, describe)
    files.scan()
    files.scan()
    assert sorted(read) == ["Other-F16.gguf", "Tiny.Q4_1.gguf"]
    write_tiny_model(folder / "Other-F16.gguf", seed=2, context_length=512)
    assert files.scan()["other"][1].context_length == 512


def test_another_model_takes_over_and_running_answers_are_finished(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            long = request("long", params=Params(temperature=0, max_tokens=200))
            whole = await answer(backend, long)
            running = asyncio.create_task(answer(backend, long))
            await until(lambda: requests_of(backend) == 1)
            steps = [step async for step in backend.load("other")]
            assert steps[-1] == Loading("other", "ready")
            states = {info.name: info.state for info in await backend.list_models()}
            assert states["other"] == "ready"
            assert await answer(backend, request("new", model="other")) != await running
            assert running.result() == whole
            await until(lambda: not backend._draining)
            assert {info.name: info.state for info in await backend.list_models()} == {
                "other": "ready",
                "tiny": "available",
            }

    within(test)


def test_a_model_that_is_unloaded_finishes_what_runs_and_comes_back_when_it_is_asked(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            long = request("long", params=Params(temperature=0, max_tokens=200))
            whole = await answer(backend, long)
            running = asyncio.create_task(answer(backend, long))
            await until(lambda: requests_of(backend) == 1)
            await backend.unload("other")
            assert (await backend.list_models())[0].state == "ready", "another one was meant"
            await backend.unload("tiny")
            assert (await backend.list_models())[0].state == "draining"
            assert await running == whole
            await until(lambda: not backend._draining)
            states = {info.name: info.state for info in await backend.list_models()}
            assert states == {"tiny": "available", "other": "available"}
            assert backend.stats() is None
            assert await answer(backend, long) == whole
            assert (await backend.list_models())[0].state == "ready"

    within(test)


def test_a_model_that_fails_to_load_leaves_the_active_one(folder: Path) -> None:
    write_tiny_model(folder / "lacking.gguf", **{"blk.1.ffn_up.weight": None})

    async def test() -> None:
        async with started(folder) as backend:
            before = await answer(backend, request())
            with pytest.raises(ModelInvalid, match=r"lacks the tensor blk\.1\.ffn_up\.weight"):
                [step async for step in backend.load("lacking")]
            assert await answer(backend, request()) == before
            assert (await backend.list_models())[0].state == "ready"

    within(test)


def test_two_loads_of_one_model_are_one(folder: Path) -> None:
    async def test() -> None:
        async def load(backend: PyTorchBackend) -> list[Loading]:
            return [step async for step in backend.load("other")]

        async with started(folder) as backend:
            await answer(backend, request())
            results = await asyncio.gather(load(backend), load(backend))
            assert [steps[-1].message for steps in results] == ["ready", "ready"]

    within(test)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "",
        "a\0b",
        "nobody",
        "x" * 10_000,
        "%2e%2e",
        "..\\x",
        "away",
        "tiny\r\n",
    ],
)
def test_a_name_is_never_a_path(folder: Path, name: str) -> None:
    (folder / "away.gguf").symlink_to("/etc/hostname")

    async def test() -> None:
        async with started(folder) as backend:
            await answer(backend, request())
            assert isinstance(await error_of(backend, request(model=name)), ModelNotFound)
            with pytest.raises(ModelNotFound):
                [step async for step in backend.load(name)]

    within(test)
