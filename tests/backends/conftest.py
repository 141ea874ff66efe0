"""Our own server, in a process of its own: what adapters are held to that speak one of its protocols."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers import switchboard

WEIGHTS = Path(__file__).parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def weights() -> Path:
    """The file of the model that is embedded."""
    if not WEIGHTS.exists():
        pytest.skip(f"NO REAL MODEL: there are no weights at {WEIGHTS.relative_to(WEIGHTS.parents[1])}")
    return WEIGHTS


@pytest.fixture(scope="session")
def ours(weights: Path) -> Iterator[str]:
    """The address of a server of ours with the embedded model."""
    settings = {"TORCH_THREADS": "1", "KERNELS": "off", "DATABASE_URL": "off"}
    with switchboard(weights, 4, settings) as server:
        yield server.address
