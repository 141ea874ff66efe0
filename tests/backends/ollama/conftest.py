"""The servers that the Ollama adapter is held to, and a line at the end that says which of them really ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.backends.ollama.double import OllamaDouble
from tests.backends.ollama.real import CannotRun, RealOllama

SERVERS = ["double of 0.9.3", "double of 0.5.4", "real 0.9.3", "real 0.5.4"]
_ran = pytest.StashKey[dict[str, str]]()  # each server asked for: "" when it ran, else why not


@dataclass(slots=True, frozen=True)
class Server:
    """An Ollama server, real or not, with a small model under the name `smollm2:135m`."""

    label: str
    url: str
    real: RealOllama | None

    @property
    def version(self) -> str:
        return self.label.split()[-1]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ran] = {}


@pytest.fixture(scope="session")
def real_servers(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, RealOllama]]:
    """The real servers started so far, by version; all ended at the end."""
    started: dict[str, RealOllama] = {}
    yield started
    for server in started.values():
        server.stop()


def _real(
    version: str, request: pytest.FixtureRequest, started: dict[str, RealOllama], folders: pytest.TempPathFactory
) -> RealOllama:
    ran = request.config.stash[_ran]
    label = f"real {version}"
    if version not in started and label not in ran:
        try:
            server = RealOllama(version, folders.mktemp(f"ollama-{version}"))
            started[version] = server
            server.start()
            server.create_models()
            ran[label] = ""
        except CannotRun as reason:
            ran[label] = str(reason)
    if ran[label]:
        pytest.skip(f"NO REAL OLLAMA {version}: {ran[label]}")
    return started[version]


@pytest.fixture(
    scope="session",
    params=[pytest.param(label, marks=[pytest.mark.ollama] if "real" in label else []) for label in SERVERS],
)
def server(
    request: pytest.FixtureRequest, real_servers: dict[str, RealOllama], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each of the servers in turn."""
    kind, version = request.param.split()[0], request.param.split()[-1]
    if kind == "real":
        real = _real(version, request, real_servers, tmp_path_factory)
        yield Server(request.param, real.url, real)
        return
    with OllamaDouble(version=version).in_thread() as double:
        request.config.stash[_ran][request.param] = ""
        yield Server(request.param, double.url, None)


@pytest.fixture(
    scope="session",
    params=[pytest.param(version, marks=pytest.mark.ollama, id=f"real {version}") for version in ("0.9.3", "0.5.4")],
)
def real_ollama(
    request: pytest.FixtureRequest, real_servers: dict[str, RealOllama], tmp_path_factory: pytest.TempPathFactory
) -> RealOllama:
    """Each of the real servers in turn."""
    return _real(request.param, request, real_servers, tmp_path_factory)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    asked = config.stash[_ran]
    if not asked:
        return
    ran = [label for label in SERVERS if asked.get(label) == ""]
    terminalreporter.write_sep("=", "Ollama servers that ran: " + (", ".join(ran) or "none"))
    for label in SERVERS:
        if asked.get(label):
            terminalreporter.write_line(f"NOT RUN: Ollama {label}, because {asked[label]}", red=True, bold=True)
