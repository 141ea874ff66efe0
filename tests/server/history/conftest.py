"""A history of every kind, opened for one test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from server.history.store import History


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def history(tmp_path: Path) -> AsyncGenerator[History]:
    opened = await History.open("sqlite:///data/switchboard.db", tmp_path)
    try:
        yield opened
    finally:
        await opened.close()
