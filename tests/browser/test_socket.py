"""When the page comes back after a connection ended, and when it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chat_page import ChatPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser

DELAY = "async (args) => (await import('/static/socket.js')).retryDelay(...args)"


@pytest.fixture(scope="module")
def page(browser: Browser, scripted_server: Server) -> Iterator[Page]:
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()


@pytest.mark.parametrize("code", [4400, 4401, 4404])
def test_it_stays_away_when_told_so(page: Page, code: int) -> None:
    assert page.evaluate(DELAY, [code, "", 0, 0.5]) is None


def test_a_reader_that_was_too_slow_comes_back_at_once_but_not_in_a_circle(page: Page) -> None:
    assert page.evaluate(DELAY, [4408, "", 0, 0.5]) == 0
    assert page.evaluate(DELAY, [4408, "", 1, 0.5]) > 0


@pytest.mark.parametrize("code", [1012, 1013, 4429])
def test_it_waits_as_long_as_the_server_asks(page: Page, code: int) -> None:
    assert page.evaluate(DELAY, [code, "retry_after=7", 0, 0]) == 7_000
    assert page.evaluate(DELAY, [code, "retry_after=7", 0, 1]) <= 9_000


def test_otherwise_it_waits_three_seconds_doubling_to_thirty_with_jitter(page: Page) -> None:
    middle = [page.evaluate(DELAY, [1006, "", attempt, 0.5]) for attempt in range(7)]
    assert middle == [3_000, 6_000, 12_000, 24_000, 30_000, 30_000, 30_000]
    assert page.evaluate(DELAY, [1006, "", 0, 0]) < 3_000 < page.evaluate(DELAY, [1006, "", 0, 1])


def test_a_failing_server_is_not_hammered(page: Page) -> None:
    assert page.evaluate(DELAY, [1012, "", 0, 0.5]) == 3_000, "Without a number the usual waiting holds."
