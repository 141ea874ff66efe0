"""A page that posts forms and follows an EventSource, as a plain one with a few lines of script does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.servers import CuttingProxy, Server

pytestmark = pytest.mark.browser

DOCUMENT = """
<div id="messages"></div>
<form id="chat-form">
  <input type="hidden" name="session_id" value="{session}">
  <textarea id="message-input" name="message"></textarea>
</form>
"""
SCRIPT = """
([document_, session]) => {
    document.body.innerHTML = document_;
    window.opened = 0;
    const messages = document.getElementById('messages');
    const form = document.getElementById('chat-form');
    const input = document.getElementById('message-input');
    const bubble = (id) => document.querySelector(`#msg-${id} .message-bubble`);
    input.addEventListener('keydown', (event) => {
        if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); form.requestSubmit(); }
    });
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        const answer = await fetch('/api/chat', {method: 'POST', body: new URLSearchParams(new FormData(form))});
        messages.insertAdjacentHTML('beforeend', await answer.text());
        input.value = '';
    });
    const source = new EventSource(`/api/stream/${session}`);
    source.onopen = () => { window.opened += 1; };
    source.addEventListener('message', (event) => {
        const [id, ...contentParts] = event.data.split('|');
        const element = bubble(id);
        element.dataset.rawContent = (element.dataset.rawContent || '') + contentParts.join('|');
        element.textContent = element.dataset.rawContent;
    });
    source.addEventListener('complete', (event) => {
        const element = bubble(event.data);
        const formatted = document.createElement('article');
        formatted.textContent = element.dataset.rawContent;
        element.replaceChildren(formatted);
    });
}
"""


class FormPage:
    """The page, in a conversation that it has named itself."""

    def __init__(self, page: Page, url: str, session: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(f"{url}health/live")
        page.evaluate(SCRIPT, [DOCUMENT.replace("{session}", session), session])
        self.wait_opened(1)

    def wait_opened(self, times: int) -> None:
        self.page.wait_for_function(f"window.opened >= {times}")

    def say(self, message: str) -> None:
        self.page.locator("#message-input").fill(message)
        self.page.locator("#message-input").press("Enter")

    def answered(self, number: int = 0) -> str:
        """The raw text of an answer that has ended."""
        bubble = self.page.locator(".message.assistant .message-bubble").nth(number)
        expect(bubble.locator("article")).to_be_visible(timeout=15_000)
        return str(bubble.evaluate("element => element.dataset.rawContent"))


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(bypass_csp=True)  # its script stands in the page, and it makes markup out of text
    yield context.new_page()
    context.close()


def test_what_was_said_and_the_answer_stand_in_their_places(page: Page, scripted_server: Server) -> None:
    form = FormPage(page, scripted_server.url, "form-page-1")
    form.say("one|two <b>|</b>\n\nthree 😀")
    assert form.answered() == "one|two <b>|</b>\n\nthree 😀"
    expect(page.locator(".message.user .message-bubble")).to_have_text("one|two <b>|</b> three 😀")
    form.say("/quote")
    assert form.answered(1).startswith("> ")
    assert "\n>\n> — " in form.answered(1)
    assert form.faults == []


def test_a_page_whose_line_is_cut_has_the_whole_answer(
    page: Page, scripted_server: Server, proxy: CuttingProxy
) -> None:
    form = FormPage(page, proxy.url, "form-page-2")
    form.say("count to 120")
    bubble = page.locator(".message.assistant .message-bubble")
    expect(bubble).to_contain_text(" 20 ", timeout=15_000)
    proxy.cut()
    form.wait_opened(2)
    assert form.answered().split() == [str(number) for number in range(1, 121)]
    assert form.faults == []


@pytest.mark.parametrize(
    ("failure", "headline"),
    [("unreachable at once", "🔴 **Model not loaded**\n\n"), ("broken", "⚠️ **Model generation failed**\n\n")],
)
def test_why_there_is_no_answer_stands_in_its_place(
    page: Page, scripted_server: Server, failure: str, headline: str
) -> None:
    form = FormPage(page, scripted_server.url, f"form-page-{failure.split()[0]}")
    form.say(f"fail {failure}")
    assert headline in form.answered()
    assert form.faults == []
