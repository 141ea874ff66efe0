"""Very much text: a megabyte of hostile markdown, an answer of a megabyte, two thousand messages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.traces import Traced

pytestmark = pytest.mark.browser

FLOODS = ("*", "[", "`", "> ", "[a](", "**a ", "* a\n  ", "| a | b |\n", "_a ", "<", "~~~\nx\n", "1. ", "a\n\n")
WRITE = """async (flood) => {
    const { MarkdownView } = await import("/static/view/markdown_view.js");
    const box = document.createElement("div");
    box.className = "markdown";
    document.getElementById("messages").append(box);
    const view = new MarkdownView(box);
    const text = flood.repeat(Math.ceil(1_000_000 / flood.length));
    const frame = () => new Promise(requestAnimationFrame);
    for (let part = 1; part <= 20; part += 1) {
        view.update(text.slice(0, (text.length * part) / 20), part === 20);
        for (let drawn = false; !drawn; ) {
            await frame();
            drawn = view.work(performance.now() + 8);
            box.getBoundingClientRect();
        }
    }
    box.remove();
}"""


@pytest.mark.parametrize("flood", FLOODS)
def test_a_megabyte_of_markdown_never_holds_up_the_page(idle_page: Page, flood: str) -> None:
    with Traced(idle_page) as traced:
        idle_page.evaluate(WRITE, flood)
    longest = max(traced.tasks_ms)
    assert longest < 100, f"The longest task took {longest:.0f} ms of processor time."


def test_a_flood_from_the_server_is_shown_to_its_end(chat: ChatPage) -> None:
    chat.page.locator("#settings-button").click()
    chat.page.get_by_label("Longest answer").press("End")
    chat.page.keyboard.press("Escape")
    chat.say("flood [a](")
    chat.wait_answered()
    expect(chat.answers.last.locator(".answer-footer")).to_contain_text("64 tokens")
    length = chat.last_answer.evaluate("node => node.textContent.length")
    assert length == 64 * 16_384


MANY = """async (count) => {
    const { handleMessage, store } = await import("/static/script.js");
    const { session, epoch } = store;
    const messages = [];
    for (let n = 0; n < count; n += 2) {
        const before = n ? `m${n - 1}` : null;
        messages.push({ id: `m${n}`, parent_id: before, role: "user", message: `Question ${n}`, selected: true });
        messages.push({ id: `m${n + 1}`, parent_id: `m${n}`, role: "ai", finish_reason: "stop", selected: true,
            message: `Answer **${n}** with a list:\\n\\n- one\\n- two\\n\\n~~~python\\nprint(${n})\\n~~~\\n` });
    }
    handleMessage({ type: "snapshot", session, epoch, seq: 1, messages, running: [], queue: [] });
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    await frame();
}"""
SCROLL_UP = """async () => {
    const scroller = document.getElementById("scroller");
    const frame = () => new Promise(requestAnimationFrame);
    const step = scroller.scrollHeight / 60;
    let frames = 0;
    while (scroller.scrollTop > 0) {
        scroller.scrollTop -= step;
        await frame();
        frames += 1;
    }
    return frames;
}"""


def test_two_thousand_messages_scroll_without_a_stutter(chat: ChatPage) -> None:
    chat.page.evaluate(MANY, 2_000)
    with Traced(chat.page) as traced:
        frames = chat.page.evaluate(SCROLL_UP)
    assert frames >= 50, "The whole conversation was scrolled through."
    each = sum(traced.tasks_ms) / frames
    assert each < 60, f"A frame took {each:.0f} ms of processor time."
    expect(chat.answers).to_have_count(1_000)
    expect(chat.answers.first.locator(".code-block")).to_have_count(1)
