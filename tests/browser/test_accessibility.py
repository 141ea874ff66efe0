"""For everyone: screen readers, the keyboard alone, small screens, no motion. axe judges every state of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
ANSWER = (
    "# Title\n\nSome `code`, a [link](https://example.org).\n\n```python\nx = 1  # one\n```\n\n> quoted\n\n- item\n"
)


def violations(page: Page) -> list[str]:
    found = page.evaluate(
        """async () => {
            const { violations } = await axe.run(document);
            const tell = ({ html, failureSummary }) => `${html} ${failureSummary}`;
            return violations.map(({ id, nodes }) => `${id}: ${nodes.map(tell).join(" ")}`);
        }"""
    )
    return [str(violation) for violation in found]


LOOKS = pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}, id="narrow"),
    ],
)


@LOOKS
@pytest.mark.parametrize(
    ("path", "there", "opened"),
    [("test-sse", "[data-verdict=good]", "details"), ("docs", ".operation", ".operation:nth-of-type(2)")],
    ids=["buffering", "docs"],
)
def test_axe_finds_nothing_on_the_pages_beside_the_chat(
    open_page: OpenPage, scripted_server: Server, path: str, there: str, opened: str, options: dict[str, object]
) -> None:
    page = open_page(scripted_server, reduced_motion="reduce", bypass_csp=True, **options).page
    page.add_init_script(path=AXE)
    page.goto(f"{scripted_server.url}{path}")
    expect(page.locator(there).first).to_be_visible()
    page.locator(f"{opened} > summary").first.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "Nothing is wider than the screen."


@LOOKS
def test_axe_finds_nothing_in_any_state(
    open_page: OpenPage, scripted_server: Server, options: dict[str, object]
) -> None:
    chat = open_page(scripted_server, reduced_motion="reduce", bypass_csp=True, **options)
    chat.page.add_init_script(path=AXE)
    chat.open()
    assert violations(chat.page) == [], "The empty state."
    for button in ("#model-button", "#more-button", "#settings-button"):
        chat.page.locator(button).click()
        assert violations(chat.page) == [], f"With the panel of {button}."
        chat.page.keyboard.press("Escape")
    chat.page.locator("#message-input").fill(ANSWER)
    chat.page.locator("#send-button").click()
    chat.wait_answered()
    expect(chat.last_answer.locator(".hljs-comment")).to_be_visible()
    assert violations(chat.page) == [], "An answer."
    chat.page.locator("#message-input").fill("fail broken")
    chat.page.locator("#send-button").click()
    expect(chat.errors).to_be_visible()
    assert violations(chat.page) == [], "An error."
    chat.page.locator("#message-input").fill("wait")
    chat.page.locator("#send-button").click()
    expect(chat.page.locator(".message.typing")).to_be_visible()
    for message in ("queued", "queued too"):
        chat.page.locator("#message-input").fill(message)
        chat.page.locator("#send-button").click()
    expect(chat.queued).to_have_count(2)
    assert violations(chat.page) == [], "Waiting, with other prompts queued."
    chat.queued.first.get_by_role("button", name="Edit this message").click()
    assert violations(chat.page) == [], "A waiting prompt that is being rewritten."
    chat.page.keyboard.press("Escape")
    chat.stop_button.click()
    assert violations(chat.page) == [], "Stopping what waits, too, is offered."
    expect(chat.queued).to_have_count(0)
    chat.wait_answered()
    chat.press(chat.answers.last, "Answer again")
    expect(chat.answers.last.locator(".branches .figures")).to_have_text("2/2")
    chat.wait_answered()
    assert violations(chat.page) == [], "Two versions, and an answer that was stopped."
    chat.press(chat.user_messages.last, "Edit your message")
    assert violations(chat.page) == [], "A message that is being rewritten."
    chat.page.keyboard.press("Escape")
    chat.press(chat.user_messages.last, "Delete from here on")
    assert violations(chat.page) == [], "Whether to delete is asked."
    chat.page.keyboard.press("Escape")
    chat.page.locator("#more-button").click()
    chat.page.locator("#show-keys").click()
    assert violations(chat.page) == [], "The list of keys."


def test_the_whole_page_can_be_used_with_the_keyboard_alone(chat: ChatPage) -> None:
    chat.ask("Look: [a link](https://example.org)\n\n```python\nx = 1\n```")
    chat.page.evaluate("() => document.activeElement.blur()")
    seen: list[str] = []
    for _ in range(26):
        chat.page.keyboard.press("Tab")
        seen.append(
            chat.page.evaluate(
                """() => {
                    const { activeElement: node } = document;
                    if (node === document.body) return "the browser's own controls";
                    const { outlineStyle } = getComputedStyle(node);
                    const boxed = node.closest(".composer:focus-within, .search:focus-within, label");
                    const ring = outlineStyle !== "none" || boxed;
                    return (node.ariaLabel || node.textContent.trim() || node.id) + (ring ? "" : " (no ring)");
                }"""
            )
        )
    text = "\n".join(seen)
    names = (
        "Skip to the message box",
        "New chat",
        "Search",
        "Model:",
        "More",
        "Conversation",
        "a link",
        "Copy the code",
    )
    for name in (*names, "Code, python", "Copy the answer", "message-input", "Answer settings"):
        assert name in text, f"{name} cannot be reached:\n{text}"
    assert "(no ring)" not in text, f"The focus cannot be seen:\n{text}"


def test_the_keys_are_listed_by_a_question_mark_but_not_while_writing(chat: ChatPage) -> None:
    dialog = chat.page.get_by_role("dialog", name="Keyboard shortcuts")
    chat.input.press_sequentially("why?")
    expect(dialog).to_be_hidden()
    expect(chat.input).to_have_value("why?")
    chat.page.locator("#scroller").focus()
    chat.page.keyboard.press("?")
    expect(dialog).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    chat.page.keyboard.press("/")
    expect(chat.input).to_be_focused()


def test_a_screen_reader_hears_beginnings_ends_and_errors_and_no_token(chat: ChatPage) -> None:
    expect(chat.status).to_contain_text("Conversations are not being saved.")  # said at the start, and heard by then
    chat.page.evaluate(
        """() => {
            window.heard = [];
            const line = document.getElementById("live-status");
            new MutationObserver(() => line.textContent && heard.push(line.textContent))
                .observe(line, { childList: true, characterData: true, subtree: true });
        }"""
    )
    chat.ask("count to 30")
    chat.say("fail overloaded at once")
    expect(chat.status).to_contain_text("Engine overloaded.")
    heard = chat.page.evaluate("() => heard")
    ends = [words for words in heard if words != "Answering."]
    assert ends == ["The answer is complete.", "Engine overloaded. It broke."]
    assert "Answering." in heard
    expect(chat.page.get_by_role("log")).to_have_attribute("aria-live", "off")


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: OpenPage, scripted_server: Server) -> None:
    chat = open_page(scripted_server, color_scheme="dark").open()
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert chat.page.evaluate(background) == "rgb(18, 16, 22)"
    chat.page.locator("#more-button").click()
    chat.page.get_by_label("Light").check()
    assert chat.page.evaluate(background) == "rgb(250, 249, 251)"
    chat.page.reload()
    assert chat.page.evaluate(background) == "rgb(250, 249, 251)"


def test_nothing_is_wider_than_a_small_phone(open_page: OpenPage, scripted_server: Server) -> None:
    chat = open_page(scripted_server, viewport={"width": 360, "height": 640}, is_mobile=True, has_touch=True).open()
    wide = "x" * 400
    chat.page.locator("#message-input").fill(
        f"{wide}\n\n```\n{wide}\n```\n\n| {wide} | b |\n|---|---|\n| c | d |\n\n[{wide}](https://e.org)"
    )
    chat.page.locator("#send-button").click()
    chat.wait_answered()
    for node in ("html", "#scroller"):
        over = chat.page.locator(node).evaluate("node => node.scrollWidth - node.clientWidth")
        assert over == 0, f"{node} scrolls sideways."
    code = chat.last_answer.locator("pre").evaluate("node => node.scrollWidth > node.clientWidth")
    assert code, "Code scrolls in its own box."
    expect(chat.input).to_be_in_viewport()


def test_the_drawer_opens_over_the_page_and_escape_closes_it(open_page: OpenPage, scripted_server: Server) -> None:
    chat = open_page(scripted_server, viewport={"width": 360, "height": 640}).open()
    opener = chat.page.get_by_role("button", name="Open the sidebar")
    expect(chat.page.locator("#new-chat")).to_be_hidden()
    opener.click()
    expect(chat.page.get_by_role("button", name="Close the sidebar")).to_be_focused()
    expect(chat.page.locator("#new-chat")).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#new-chat")).to_be_hidden()
    expect(opener).to_be_focused()
