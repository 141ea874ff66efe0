"""Two browsers on one chat: what happens in one is seen in the other, a moment later."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser

DEADLINE_MS = 4_000  # twenty times what a person would notice: a loaded machine is no failure
WATCH = """(what) => {
    const now = () => performance.timeOrigin + performance.now();
    for (const kind of ["click", "keydown"]) addEventListener(kind, () => (window.acted = now()), true);
    window.seen = new Promise((resolve) => {
        const look = () => document.querySelector(what) && (resolve(now()), observer.disconnect());
        const observer = new MutationObserver(look);
        observer.observe(document.body, { childList: true, subtree: true, attributes: true, characterData: true });
        look();
    });
}"""


class Pair:
    """Two pages of one chat. `watch` for what will appear in the second, act in the first, and `measure`."""

    def __init__(self, one: ChatPage, two: ChatPage) -> None:
        self.one, self.two = one, two
        self.latencies: dict[str, float] = {}

    def watch(self, selector: str) -> None:
        for chat in (self.one, self.two):
            chat.page.evaluate(WATCH, selector)

    def measure(self, what: str) -> None:
        """Milliseconds from the key or click in the first page to what the second shows of it."""
        self.latencies[what] = self.two.page.evaluate("() => seen") - self.one.page.evaluate("() => acted")


def test_two_browsers_stay_in_step(
    open_page: OpenPage, scripted_server: Server, record_property: Callable[[str, object], None]
) -> None:
    one = open_page(scripted_server).open()
    one.ask("hello")
    pair = Pair(one, open_page(scripted_server).open(one.page.url))
    expect(pair.two.last_answer).to_have_text("hello")

    pair.watch(".message.typing")
    one.say("wait")
    pair.measure("message and typing")
    pair.watch(".message.queued")
    one.say("count to 400")
    pair.measure("queue")
    pair.watch(".message.ai:nth-of-type(4) .body p, .message.ai.streaming .body p")
    one.stop_button.click()
    pair.measure("stop and tokens")
    pair.watch(".message.ai.latest .ending")
    one.stop_button.click()
    pair.measure("end")
    one.input.press("ArrowUp")
    one.user_messages.last.locator("textarea").fill("another")
    pair.watch(".message.user .branches:not([hidden])")
    one.page.keyboard.press("Control+Enter")
    pair.measure("edit")
    one.wait_answered()
    pair.watch(".message.ai.latest .ending")
    one.press(one.user_messages.last, "Previous version")
    pair.measure("switch")
    expect(pair.two.users).to_have_text(["hello", "wait", "count to 400"])

    print("seen by the other, in ms:", {what: round(latency) for what, latency in pair.latencies.items()})  # noqa: T201
    record_property("latency_ms", {what: round(latency) for what, latency in pair.latencies.items()})
    assert max(pair.latencies.values()) < DEADLINE_MS, pair.latencies
