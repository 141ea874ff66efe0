from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_model import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two models: `tiny`, and `other`, which answers differently."""
    write_tiny_model(tmp_path / "Tiny.Q4_1.gguf", seed=0)
    write_tiny_model(tmp_path / "Other-F16.gguf", seed=1)
    return tmp_path
