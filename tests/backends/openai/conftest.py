"""The servers that the adapter is held to: llama.cpp's own, and ours, which other adapters are held to, too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.openai import OpenAIBackend
from tests.backends.contract import Subject
from tests.backends.openai.double import MODEL, SYSTEM

HERE = Path(__file__).parent
OURS = "pytorch/smollm2-135m-instruct"


@pytest.fixture(scope="session")
def llama_cpp(weights: Path) -> Iterator[str]:
    """The address of llama.cpp's server."""
    command = [sys.executable, str(HERE / "llama_cpp_server.py"), str(weights)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        address = next((line.strip() for line in process.stdout if line.startswith("http")), "")
        assert address, "llama.cpp's server did not start."
        yield address
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session", params=["llama_cpp", "ours"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """A backend for each of the servers in turn."""
    address: str = request.getfixturevalue(request.param)
    is_ours = request.param == "ours"
    return Subject(
        request.param,
        lambda: OpenAIBackend(address),
        model=OURS if is_ours else MODEL,
        system=SYSTEM,
        tells_models_apart=is_ours,
    )
