"""What all tests share: how Hypothesis searches, and real servers on free ports."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from engine.errors import KernelsUnavailable
from engine.kernels.build import build
from tests.application import application

hypothesis.settings.register_profile("dev", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("dev"), derandomize=True, print_blob=True, database=None
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


os.environ["DATABASE_URL"] = "off"  # a test that wants a history has one of its own

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells have it for what runs behind: programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Path | KernelsUnavailable:
    """The engine's kernels, compiled before the first test, so that no test compiles them beside what it watches."""
    try:
        return build()
    except KernelsUnavailable as error:
        return error


@pytest.fixture
def kernels(compiled: Path | KernelsUnavailable) -> Path:
    """The kernels' library, for a test that is worth nothing without it: skipped, loudly, where it cannot be built."""
    if isinstance(compiled, KernelsUnavailable):
        pytest.skip(f"NO COMPILED KERNELS, so this was not tested. {compiled}")
    return compiled


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's event loop runs on in the main thread until the session ends."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start the whole application with the given settings, as often as the test calls it. Gives its base URL.

    Servers end with the test.
    """
    with ExitStack() as servers:
        yield lambda **changes: servers.enter_context(application(**changes))
