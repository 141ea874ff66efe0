"""Servers on histories that were written beforehand, and a page on one of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Host, Kept
from tests.browser.sidebar.rows import KEPT, TITLES, Hosting, titles


@pytest.fixture(scope="module")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history without conversations: a copy of it need not be made anew."""
    folder = tmp_path_factory.mktemp("history")
    Host(folder).start().stop()
    return folder


@pytest.fixture
def hosting(empty_history: Path, tmp_path: Path) -> Iterator[Hosting]:
    """Starts servers on histories of these conversations."""
    hosts: list[Host] = []

    def hosting(kept: Sequence[Kept]) -> Host:
        folder = shutil.copytree(empty_history, tmp_path / f"history-{len(hosts)}")
        hosts.append(Host(folder, kept).start())
        return hosts[-1]

    yield hosting
    for host in hosts:
        host.stop()


@pytest.fixture
def server(hosting: Hosting) -> Host:
    """A server with four conversations of the last minutes, the first one the newest."""
    return hosting(KEPT)


@pytest.fixture
def chat(open_page: OpenPage, server: Host) -> ChatPage:
    chat = open_page(server).open()
    expect(titles(chat)).to_have_text(TITLES)
    return chat
