"""The page at /docs: every request of the document, in words and as commands that can be run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chat_page import ChatPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def docs(browser: Browser, scripted_server: Server) -> Iterator[ChatPage]:
    context = browser.new_context()
    docs = ChatPage(context, scripted_server.url)
    docs.page.goto(f"{scripted_server.url}redoc")  # the other name of the page
    expect(docs.page.locator(".operation").first).to_be_visible()
    yield docs
    context.close()
    assert docs.faults == [], "The page did what it must not do."


def test_every_request_of_the_document_is_on_the_page(docs: ChatPage, scripted_server: Server) -> None:
    with urlopen(f"{scripted_server.url}openapi.json") as answer:
        paths = json.load(answer)["paths"]
    listed = docs.page.locator(".operation > summary").all_inner_texts()
    shown = {tuple(text.split()[:2]) for text in listed}
    assert shown == {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert docs.page.url.endswith("/docs")


@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
def test_the_commands_on_the_page_can_be_run(docs: ChatPage) -> None:
    card = docs.page.locator(".operation", has_text="/api/chat").first
    card.locator("summary").click()
    commands = [text for text in card.locator("pre").all_inner_texts() if text.startswith("curl ")]
    assert len(commands) == 5
    for command in commands:
        if "pytorch/" in command:
            continue  # which this server has not
        done = subprocess.run(["sh", "-c", f"{command} -sS"], capture_output=True, text=True, timeout=20, check=True)
        assert "Thinking..." in done.stdout or json.loads(done.stdout)["success"] is True


def test_a_description_that_cannot_be_read_is_said(browser: Browser, scripted_server: Server) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/openapi.json", lambda route: route.fulfill(status=401, body="{}"))
    page.goto(f"{scripted_server.url}docs")
    expect(page.locator("#problem")).to_have_text("The description cannot be read: the server answers 401.")
    context.close()
