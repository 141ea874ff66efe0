"""What the engine's tests run on: a tiny random model, the embedded one, and the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.kernels.interface import NativeLibrary
from engine.kernels.library import open_library
from engine.kernels.sources import SETS, machine
from engine.llm_engine import LLMEngine
from tests.tiny_model import write_tiny_model

EMBEDDED = Path(__file__).resolve().parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.Q4_1.gguf")


@pytest.fixture(scope="session")
def make_engine(tiny_model: Path) -> Callable[..., LLMEngine]:
    """An engine on the tiny model, or on the file given, on one thread; settings by name."""

    def make(path: Path = tiny_model, **settings: object) -> LLMEngine:
        return LLMEngine.from_gguf(path, config=EngineConfig(**{"threads": 1, "device": "cpu", **settings}))

    return make


@pytest.fixture(scope="session")
def embedded_engine() -> LLMEngine:
    """The embedded model on the path used for speed."""
    return LLMEngine.from_gguf(EMBEDDED, config=EngineConfig(threads=1, device="cpu"))


@pytest.fixture
def opened(kernels: Path) -> Iterator[NativeLibrary]:
    """The compiled kernels. Those of other instruction sets may be chosen until the test ends."""
    library = NativeLibrary(open_library(kernels))
    usual = library.kernels
    yield library
    library.use(usual)


@pytest.fixture(params=SETS.get(machine(), ["portable"]))
def library(opened: NativeLibrary, request: pytest.FixtureRequest) -> NativeLibrary:
    """The compiled kernels of each instruction set that this processor has."""
    try:
        opened.use(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    return opened
