"""The two models that the engine's tests run on: a tiny random one, and the embedded one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import EngineConfig
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
