"""A model's name is looked up and never made into a path: whatever it holds, no file outside the folder is opened."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from config import ROOT
from tests.faults.whole_server import Whole, say, whole
from tests.server.serving import joined
from tests.tiny_model import write_tiny_model

NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "~root/.profile",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..\\..\\etc\\passwd",
    "C:\\Windows\\win.ini",
    "\\\\host\\share\\model",
    "..",
    ".",
    "models/../../etc/passwd",
    "tiny\0.gguf",
    "tiny\r\nHost: elsewhere",
    "tiny\n",
    "away",
    "up/secret",
    "tiny/../secret",
    "${HOME}",
    "x" * 256,
    "x" * 10_000,
    "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/secret",
    "\N{RIGHT-TO-LEFT OVERRIDE}ynit",
]
_opened: list[str] = []
_watching = False


def _note(event: str, details: tuple[Any, ...]) -> None:
    """An audit hook stays for good, so it looks whether anybody wants to know."""
    if _watching and event in ("open", "os.listdir", "os.scandir") and isinstance(details[0], str | bytes | Path):
        _opened.append(os.fsdecode(details[0]))


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    sys.addaudithook(_note)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """What any thread opens or lists meanwhile."""
    global _watching
    _opened.clear()
    _watching = True
    try:
        yield _opened
    finally:
        _watching = False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one model, and beside it another one, to which two links lead."""
    inside, outside = tmp_path / "models", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    write_tiny_model(inside / "Tiny.Q4_1.gguf")
    write_tiny_model(outside / "secret.gguf")
    (inside / "away.gguf").symlink_to(outside / "secret.gguf")
    (inside / "up").symlink_to(outside)
    return inside


@asynccontextmanager
async def asked(folder: Path) -> AsyncGenerator[tuple[Whole, httpx.AsyncClient], None]:
    settings = {"model_path": str(folder / "Tiny.Q4_1.gguf"), "model_dir": str(folder), "database_url": "off"}
    async with (
        whole(backends=["pytorch"], torch_threads=1, **settings) as server,
        httpx.AsyncClient(base_url=server.url, timeout=20, verify=False) as client,
    ):
        loaded = await client.post("/api/models/load", json={"model": "tiny"})
        assert loaded.json() == {"success": True, "model": "pytorch/tiny"}
        yield server, client


def assert_nothing_outside(opened: list[str], folder: Path) -> None:
    allowed = [folder, ROOT, Path(sys.prefix), Path(sys.base_prefix), Path("/proc"), Path("/dev/null")]
    for name in opened:
        path = Path(os.path.abspath(name))  # noqa: PTH100  # links are not to be followed here
        assert any(path.is_relative_to(place) for place in allowed), f"{name} was opened"
        assert not name.endswith(("secret.gguf", "passwd", "away.gguf")), f"{name} was opened"


def test_57_a_name_that_leads_elsewhere_is_refused_over_http(folder: Path) -> None:
    async def scenario() -> None:
        async with asked(folder) as (_, client):
            with opened_files() as opened:
                for name in NAMES:
                    for full in (name, f"pytorch/{name}"):
                        asked_for = {"model": full, "prompt": "Hi", "max_tokens": 2}
                        answers = [
                            await client.post("/api/models/load", json={"model": full}),
                            await client.post("/v1/completions", json=asked_for),
                        ]
                        for answer in answers:
                            assert answer.status_code in (400, 404, 422), (full, answer.text)
                            assert str(folder) not in answer.text
            assert_nothing_outside(opened, folder)
            listed = (await client.get("/api/models")).json()["models"]
            assert [(model["name"], model["state"]) for model in listed] == [("pytorch/tiny", "ready")]

    asyncio.run(scenario())


def test_57_a_name_that_leads_elsewhere_is_refused_in_a_chat(folder: Path) -> None:
    async def scenario() -> None:
        async with asked(folder) as (server, _):
            with opened_files() as opened:
                for name in NAMES:
                    async with joined(server.ws) as client:
                        await client.send(say("Hi", cmd_id="c", model=f"pytorch/{name}"))
                        error = await client.until("error")
                        assert error["code"] in ("model_not_found", "bad_message"), repr(name)
            assert_nothing_outside(opened, folder)

    asyncio.run(scenario())


def test_57_the_hook_sees_what_is_opened(folder: Path) -> None:
    with opened_files() as opened:
        (folder / "up" / "secret.gguf").open("rb").close()
    with pytest.raises(AssertionError, match=r"secret\.gguf was opened"):
        assert_nothing_outside(opened, folder)
