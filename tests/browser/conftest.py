"""One browser a run, servers that live as long as their tests, and pages that fail the test when they misbehave."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chat_page import ChatPage
from tests.browser.hosting import Host
from tests.browser.servers import ROOT, SCRIPTED, CuttingProxy, Server

expect.set_options(timeout=8_000)

OpenPage = Callable[..., ChatPage]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def scripted_server() -> Iterator[Server]:
    """A server whose answers are what the prompts ask for."""
    server = Server(BACKENDS=f"{SCRIPTED},echo").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def model_server() -> Iterator[Server]:
    """A server with the embedded model, and another one to switch to."""
    assert (ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").exists(), "Fetch the model first: make model."
    server = Server(BACKENDS="pytorch,echo").start()
    yield server
    server.stop()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A scripted server of the test's own, to be killed and started at will."""
    server = Server(BACKENDS=SCRIPTED).start()
    yield server
    server.stop()


@pytest.fixture
def proxy(scripted_server: Server) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(scripted_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each in a profile of its own, or in that of `beside`. Their faults fail the test."""
    pages: list[ChatPage] = []

    def open_page(server: Server | CuttingProxy | Host, *, beside: ChatPage | None = None, **options: Any) -> ChatPage:
        context = beside.page.context if beside else browser.new_context(**options)
        pages.append(ChatPage(context, server.url))
        return pages[-1]

    yield open_page
    faults = [fault for page in pages for fault in page.faults]
    for context in {page.page.context for page in pages}:
        context.close()
    assert faults == [], "The page did what it must not do."


@pytest.fixture
def chat(open_page: OpenPage, scripted_server: Server) -> ChatPage:
    """An open page on the scripted server."""
    return open_page(scripted_server).open()


@pytest.fixture(scope="module")
def tab(browser: Browser, scripted_server: Server) -> Iterator[ChatPage]:
    """One open page for all tests of a module that each begin a chat of their own in it."""
    tab = ChatPage(browser.new_context(), scripted_server.url).open()
    yield tab
    tab.page.context.close()
    assert tab.faults == [], "The page did what it must not do."


@pytest.fixture
def fresh(tab: ChatPage) -> ChatPage:
    """A new chat in the module's page."""
    tab.page.goto("about:blank")
    return tab.open()


@pytest.fixture(scope="module")
def idle_page(browser: Browser, scripted_server: Server) -> Iterator[Page]:
    """A page whose modules are used without its conversation."""
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()
