"""A history of every kind, opened for one test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from server.history.store import History
from tests.postgresql import INSTALLED, MISSING, Cluster, running_cluster


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server, started for the first test that needs one."""
    if not INSTALLED:
        pytest.skip(MISSING)
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database, as DATABASE_URL names it."""
    if request.param == "sqlite":
        return "sqlite:///data/switchboard.db"
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.empty()


@pytest.fixture
async def history(url: str, tmp_path: Path) -> AsyncGenerator[History]:
    opened = await History.open(url, tmp_path)
    try:
        yield opened
    finally:
        await opened.close()
