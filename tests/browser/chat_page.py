"""The page as a person uses it, and a record of everything it did that it must not do."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Locator, Page, expect

ANSWER_TIMEOUT_MS = 15_000


class ChatPage:
    """One tab. `faults` lists requests that left the origin, errors, and violations of the security policy."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on("request", lambda request: self._check_origin(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", lambda message: self._check_console(message.type, message.text))

    def open(self, address: str | None = None) -> ChatPage:
        """Go to the page, or to the address of a chat, and wait for the connection."""
        self.page.goto(address or self.url)
        self.wait_connected()
        return self

    def wait_connected(self) -> None:
        expect(self.connection).to_have_text("Connected", timeout=ANSWER_TIMEOUT_MS)

    @property
    def connection(self) -> Locator:
        return self.page.locator("#connection-text")

    @property
    def input(self) -> Locator:
        return self.page.locator("#message-input")

    @property
    def users(self) -> Locator:
        return self.page.locator(".message.user:not(.queued, .sending) .body")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".message.ai")

    @property
    def last_answer(self) -> Locator:
        return self.answers.last.locator(".body")

    @property
    def user_messages(self) -> Locator:
        """The bubbles with what can be done with them, those that wait apart."""
        return self.page.locator(".message.user:not(.queued, .sending)")

    @property
    def queued(self) -> Locator:
        return self.page.locator(".message.queued")

    @property
    def errors(self) -> Locator:
        return self.page.locator(".message.error")

    @property
    def stop_button(self) -> Locator:
        return self.page.locator("#stop-button")

    @property
    def status(self) -> Locator:
        return self.page.locator("#live-status")

    def say(self, message: str) -> None:
        """Write a message and send it with Enter."""
        self.input.fill(message)
        self.input.press("Enter")

    def ask(self, message: str) -> str:
        """Say something and wait for the whole answer. Gives its text as the page shows it."""
        before = self.answers.count()
        self.say(message)
        expect(self.answers).to_have_count(before + 1, timeout=ANSWER_TIMEOUT_MS)
        self.wait_answered()
        return self.last_answer.inner_text()

    def wait_answered(self) -> None:
        """Wait until the last answer has ended."""
        expect(self.answers.last.locator(".answer-buttons")).to_be_visible(timeout=ANSWER_TIMEOUT_MS)
        expect(self.stop_button).to_be_hidden(timeout=ANSWER_TIMEOUT_MS)
        expect(self.answers.last).not_to_have_attribute("aria-busy", "true", timeout=ANSWER_TIMEOUT_MS)

    def press(self, message: Locator, button: str) -> None:
        """Press one of the buttons under a message."""
        message.hover()
        message.get_by_role("button", name=button).click()

    def scroll(self) -> dict[str, float]:
        """How far the conversation is scrolled: `top`, and how much lies `below` what is seen."""
        return dict(
            self.page.locator("#scroller").evaluate(
                "node => ({top: node.scrollTop, below: node.scrollHeight - node.scrollTop - node.clientHeight})"
            )
        )

    def _check_origin(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.faults.append(f"request to {url}")

    def _check_console(self, kind: str, text: str) -> None:
        cut = ("ERR_CONNECTION", "ERR_SOCKET_NOT_CONNECTED", "ERR_CONTENT_LENGTH_MISMATCH", "WebSocket connection")
        expected = (*cut, "status of 4", "status of 5")
        if kind in ("error", "warning") and not any(word in text for word in expected):
            self.faults.append(f"console: {text}")
