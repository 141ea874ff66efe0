"""Servers for other people's clients, one for all tests here: the whole application on a free port."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.application import application
from tests.clients.table import Table
from tests.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parent.parent.parent
EMBEDDED = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

_table = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_table] = Table()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.outcome != "passed":
        item.config.stash[_table].note(item, report.outcome)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_table].cells:
        terminalreporter.write_sep("=", "Other people's clients, for real")
        for line in config.stash[_table].lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With the engine on a tiny random model, `pytorch/tiny`, beside `scripted/…` and `echo/echo`. Gives its URL."""
    folder = tmp_path_factory.mktemp("models")
    model = write_tiny_model(folder / "tiny.gguf")
    backends = ["echo", "tests.clients.scripted:Scripted", "pytorch"]
    with application(backends=backends, model_path=str(model), model_dir=str(folder), torch_threads=1) as url:
        yield url


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With the model that is embedded, `pytorch/smollm2-135m-instruct`, which answers in words. Gives its URL."""
    if not EMBEDDED.is_file():
        pytest.skip("The embedded model is not there. Fetch it with `make model`.")
    folder = tmp_path_factory.mktemp("no_other_models")
    with application(backends=["pytorch"], model_path=str(EMBEDDED), model_dir=str(folder)) as url:
        yield url
