"""One scripted server for all tests here, and programs on terminals of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.servers import ROOT, SCRIPTED, CuttingProxy, Server
from tools.on_pty import OnPty

StartProgram = Callable[..., OnPty]


@pytest.fixture(scope="session")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers are what the prompts ask for, and which keeps its conversations."""
    history = tmp_path_factory.mktemp("history") / "conversations.db"
    server = Server(BACKENDS=f"{SCRIPTED},echo", DATABASE_URL=f"sqlite:///{history}").start()
    yield server
    server.stop()


@pytest.fixture
def proxy(scripted_server: Server) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(scripted_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartProgram]:
    """Starts `cli.py` with some arguments on a terminal. What is still running at the end of the test is ended."""
    with ExitStack() as programs:

        def start(*arguments: str, columns: int = 80, rows: int = 24, **environment: str) -> OnPty:
            settings = {"XDG_STATE_HOME": str(tmp_path / "state"), **environment}
            command = [sys.executable, "cli.py", *arguments]
            return programs.enter_context(OnPty(command, ROOT, settings, columns, rows))

        yield start


@pytest.fixture
def chat(start: StartProgram, scripted_server: Server) -> OnPty:
    """A chat with the scripted server, at its first prompt."""
    program = start("chat", "--server", scripted_server.url)
    program.see("\n›")
    return program
