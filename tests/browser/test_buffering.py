"""The page that tells whether a proxy in between buffers: right through, and behind one that does."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.servers import CuttingProxy, Server

pytestmark = pytest.mark.browser

DECIDED_MS = 15_000


class HoldingProxy(CuttingProxy):
    """Passes on what a server says only when it has said the last of it."""

    last = b"event: complete"

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        if source.getpeername() != self._target:
            super()._pump(source, sink)
            return
        held = b""
        with contextlib.suppress(OSError):
            while self.last not in held and (piece := source.recv(65_536)):
                held += piece
            sink.sendall(held)
        super()._pump(source, sink)


@pytest.fixture
def page(browser: Browser) -> Iterator[ChatPage]:
    context = browser.new_context()
    page = ChatPage(context, "")
    yield page
    context.close()
    assert page.faults == [], "The page did what it must not do."


def decided(page: Page, verdict: str) -> str:
    """Wait for that verdict. Gives its words."""
    expect(page.locator("#verdict")).not_to_have_attribute("data-verdict", "trying", timeout=DECIDED_MS)
    assert page.locator("#verdict").get_attribute("data-verdict") == verdict
    return page.locator("#verdict").inner_text()


def test_a_straight_line_is_good_and_can_be_tried_again(page: ChatPage, scripted_server: Server) -> None:
    page.page.goto(f"{scripted_server.url}test-sse")
    words = decided(page.page, "good")
    assert "Nothing in between holds the text back" in words
    expect(page.page.locator("#arrived circle")).to_have_count(15)
    expect(page.page.locator("#rows tr")).to_have_count(15)
    page.page.get_by_role("button", name="Try again").click()
    expect(page.page.locator("#verdict")).to_have_attribute("data-verdict", "trying")


def test_a_proxy_that_gathers_is_found_out(page: ChatPage, scripted_server: Server) -> None:
    proxy = HoldingProxy(scripted_server.port)
    page.page.goto(f"{scripted_server.url}test-sse")  # the page itself comes straight
    page.page.route("**/test-sse", lambda route: route.continue_(url=f"{proxy.url}test-sse"))
    page.page.get_by_role("button", name="Try again").click(timeout=DECIDED_MS)
    words = decided(page.page, "held")
    assert "15 events were sent one by one, and arrived all at once" in words
    assert "proxy_buffering" in words
    proxy.close()


JUDGE = '([trips, expected]) => import("/static/buffering.js").then((module) => module.judge(trips, expected))'


@pytest.mark.parametrize(
    ("pace", "arrived", "kind", "words"),
    [
        (100, [], "broken", "No event arrived"),
        (100, [5000, 5100], "broken", "Only 2 of 4 events arrived"),
        (100, [5000, 5100, 5200, 5300], "good", "give or take 0 milliseconds"),
        (100, [5000, 5130, 5200, 5300], "good", "give or take 30 milliseconds"),
        (1000, [8000, 8000, 8000, 8000], "held", "arrived all at once: one was held for 3.00 s"),
        (1000, [8000, 8000, 9999, 10000], "held", "arrived in 2 lumps: one was held for 1.00 s"),
    ],
)
def test_the_verdict_follows_from_the_times_whatever_the_clocks_say(
    idle_page: Page, pace: int, arrived: list[int], kind: str, words: str
) -> None:
    trips = [{"sent": number * pace, "arrived": time} for number, time in enumerate(arrived)]
    verdict = idle_page.evaluate(JUDGE, [trips, 4])
    assert verdict["kind"] == kind
    assert words in verdict["text"]
