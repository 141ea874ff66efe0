"""A folder of models with everything in it that does not belong there: listed quickly, and nothing hangs."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import httpx
import pytest

from backends.pytorch.adapter import describe_model
from backends.pytorch.files import ModelFiles
from tests.faults.whole_server import whole
from tests.tiny_model import write_tiny_model

FILES = 10_000
LIMIT_S = 2.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good model, ten thousand files of which every fifth claims to be one, and what is no file at all."""
    write_tiny_model(tmp_path / "Tiny.Q4_1.gguf")
    for number in range(FILES):
        (tmp_path / f"many-{number:05}.{'gguf' if number % 5 == 0 else 'bin'}").write_bytes(b"GGUF\3\0\0\0 nothing")
    os.mkfifo(tmp_path / "a-fifo.gguf")
    (tmp_path / "a-loop.gguf").symlink_to(tmp_path / "b-loop.gguf")
    (tmp_path / "b-loop.gguf").symlink_to(tmp_path / "a-loop.gguf")
    (tmp_path / "a-self.gguf").symlink_to(tmp_path / "a-self.gguf")
    (tmp_path / "a-circle").mkdir()
    (tmp_path / "a-circle" / "round.gguf").symlink_to(tmp_path / "a-circle")
    (tmp_path / "a-folder.gguf").mkdir()
    (tmp_path / "a-dangling.gguf").symlink_to(tmp_path / "gone.gguf")
    (tmp_path / "a-device.gguf").symlink_to("/dev/zero")
    (tmp_path / "a-locked.gguf").write_bytes(b"nobody may read this")
    (tmp_path / "a-locked.gguf").chmod(0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "a-socket.gguf"))  # a whole path may be too long for one
    return tmp_path


def test_58_a_full_folder_is_listed_within_two_seconds(folder: Path) -> None:
    files = ModelFiles(folder, describe_model)
    began = time.thread_time()
    found = files.scan()
    assert time.thread_time() - began < LIMIT_S
    odd = {name: info.state for name, (_, info) in found.items() if name.startswith("a-")}
    assert set(odd) <= {"a-locked"}, "who may read everything finds that it is no model"
    assert set(odd.values()) <= {"failed"}
    assert found["tiny"][1].state == "available"
    assert {info.state for name, (_, info) in found.items() if name.startswith("many-")} == {"failed"}


def test_58_a_server_on_a_full_folder_starts_and_answers(folder: Path) -> None:
    async def scenario() -> None:
        settings = {"model_path": str(folder / "Tiny.Q4_1.gguf"), "model_dir": str(folder), "database_url": "off"}
        async with (
            whole(backends=["pytorch"], torch_threads=1, **settings) as server,
            httpx.AsyncClient(base_url=server.url, timeout=20, verify=False) as client,
        ):
            for model in ("a-fifo", "a-loop", "a-device", "a-socket"):
                refused = await client.post("/api/models/load", json={"model": model})
                assert refused.status_code == 404
            prompt = {"model": "tiny", "prompt": "Hi", "max_tokens": 2}
            answered = await client.post("/v1/completions", json=prompt)
            assert answered.status_code == 200, answered.text
            models = (await client.get("/api/models")).json()["models"]
            assert models[0]["name"] == "pytorch/tiny"
            assert len(models) > 100

    asyncio.run(scenario())
