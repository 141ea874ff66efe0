"""Talking: what a person says and sees, on a server whose answers are known."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser


def test_a_message_is_answered_and_the_footer_says_how(chat: ChatPage) -> None:
    assert chat.ask("Hello there, you two.") == "Hello there, you two."
    footer = chat.answers.last.locator(".answer-footer")
    expect(footer).to_contain_text("tok/s")
    expect(footer).to_contain_text("first token 12 ms")
    expect(footer).to_contain_text("10 cached")
    expect(chat.page).to_have_title("Hello there, you two. · Switchboard")


def test_shift_enter_breaks_the_line_and_blank_messages_are_not_sent(chat: ChatPage) -> None:
    chat.input.press("Enter")
    chat.say("   ")
    chat.input.fill("one")
    chat.input.press("Shift+Enter")
    chat.input.press_sequentially("two")
    chat.input.press("Enter")
    expect(chat.users).to_have_text(["one\ntwo"])


def test_enter_that_belongs_to_an_input_method_sends_nothing(chat: ChatPage) -> None:
    chat.input.fill("にほん")
    chat.input.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    chat.input.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "bubbles": True, "cancelable": True})
    expect(chat.input).to_have_value("にほん")
    chat.input.press("Enter")
    expect(chat.users).to_have_text(["にほん"])


def test_enter_on_a_touch_keyboard_breaks_the_line(open_page: OpenPage, scripted_server: Server) -> None:
    phone = open_page(scripted_server, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True).open()
    phone.input.fill("one")
    phone.input.press("Enter")
    expect(phone.input).to_have_value("one\n")
    phone.page.locator("#send-button").tap()
    expect(phone.users).to_have_text(["one"])


def test_stop_ends_the_answer_and_keeps_what_came(chat: ChatPage) -> None:
    chat.say("count to 400")
    expect(chat.last_answer).to_contain_text("1 2 3")
    expect(chat.page.locator("#send-button")).to_be_hidden()
    chat.stop_button.click()
    chat.wait_answered()
    expect(chat.answers.last.locator(".answer-footer")).to_contain_text("Stopped before it was done.")
    expect(chat.last_answer).to_contain_text("1 2 3")
    expect(chat.input).to_be_focused()


def test_escape_stops_but_first_closes_what_lies_over_the_page(chat: ChatPage) -> None:
    chat.say("count to 400")
    expect(chat.last_answer).to_contain_text("1 2 3")
    chat.page.locator("#settings-button").click()
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#settings-panel")).to_be_hidden()
    expect(chat.stop_button).to_be_visible()
    chat.page.keyboard.press("Escape")
    chat.wait_answered()
    expect(chat.answers.last.locator(".answer-footer")).to_contain_text("Stopped before it was done.")


def test_waiting_is_never_silent(chat: ChatPage) -> None:
    typing = chat.page.locator(".message.typing")
    chat.say("wait")
    expect(typing).to_contain_text("Waiting for a free place: 2 answers ahead of yours")
    expect(typing).to_contain_text("Loading the model, 62 %")
    expect(typing).to_contain_text("Reading your message: 512 of 2,048 tokens, 128 remembered")
    expect(chat.page.locator("#engine-card")).to_contain_text("Reading")
    chat.stop_button.click()
    expect(typing).to_have_count(0)


def test_the_card_shows_what_the_engine_does_for_everybody(open_page: OpenPage, own_server: Server) -> None:
    mine, other = open_page(own_server).open(), open_page(own_server).open()
    card = other.page.locator("#engine-card")
    expect(card).to_contain_text("Engine ready")
    expect(card).to_contain_text("Nothing is running")
    mine.say("count to 400")
    expect(card).to_contain_text("1 running, 0 waiting")
    expect(card).to_contain_text("12 % memory")
    expect(card).to_contain_text("40 tok/s")
    expect(card).to_contain_text("Engine ready")
    mine.stop_button.click()
    expect(card).to_contain_text("Nothing is running")
    expect(card).to_contain_text("25 % reused")
    memory = other.page.get_by_role("img", name="Memory for conversations: 0 % in use, 1 % kept from earlier ones")
    expect(memory).to_be_visible()


def test_a_prompt_said_meanwhile_waits_in_sight_and_can_be_taken_back(chat: ChatPage) -> None:
    queued = chat.page.locator(".message.queued")
    chat.say("count to 400")
    expect(chat.last_answer).to_contain_text("1 2")
    expect(chat.page.locator("#engine-card")).to_contain_text("Answering")
    expect(chat.page.locator("#engine-progress")).to_be_hidden()
    chat.say("second")
    chat.say("third")
    expect(queued).to_have_count(2)
    expect(queued.nth(1)).to_contain_text("Waiting, 2nd")
    queued.nth(0).get_by_role("button", name="Take this message back").click()
    expect(queued).to_have_count(1)
    chat.stop_button.click()
    expect(chat.users).to_have_text(["count to 400", "third"])
    expect(queued).to_have_count(0)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("fail unreachable", "Error connecting to engine. Check that the engine is running, then ask again."),
        ("fail overloaded at once", "Engine overloaded."),
        ("fail broken", "The engine failed."),
    ],
)
def test_a_failure_is_told_in_plain_words(chat: ChatPage, prompt: str, told: str) -> None:
    chat.say(prompt)
    expect(chat.errors).to_contain_text(told)
    if "at once" in prompt:
        expect(chat.answers).to_have_count(0)
    else:
        expect(chat.last_answer).to_have_text("This much came.")
    chat.page.reload()
    expect(chat.errors).to_contain_text(told)
    assert chat.ask("Go on") == "Go on", "The conversation goes on after a failure."


def test_the_slider_limits_the_answer_and_is_remembered(chat: ChatPage) -> None:
    chat.page.locator("#settings-button").click()
    slider = chat.page.get_by_label("Longest answer")
    expect(slider).to_have_attribute("max", "8192")
    slider.press("Home")
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#settings-summary")).to_have_text("16 tokens · T 0.7")
    chat.ask("count to 400 quickly")
    expect(chat.answers.last.locator(".answer-footer")).to_contain_text("Cut at the limit of 16 tokens.")
    chat.page.reload()
    expect(chat.page.locator("#settings-summary")).to_have_text("16 tokens · T 0.7")


def test_thinking_is_folded_away_above_the_answer(chat: ChatPage) -> None:
    assert chat.ask("think") == "It is four."
    thoughts = chat.answers.last.locator("details")
    expect(thoughts.locator(".thoughts-text")).to_be_hidden()
    thoughts.locator("summary").click()
    expect(thoughts.locator(".thoughts-text")).to_have_text("Let me see. It is simple.")


def test_the_source_of_an_answer_can_be_seen(chat: ChatPage) -> None:
    chat.ask("Some **bold** words")
    expect(chat.last_answer.locator("strong")).to_have_text("bold")
    chat.page.get_by_role("button", name="Show the answer's source").click()
    expect(chat.answers.last.locator(".raw")).to_have_text("Some **bold** words")
    expect(chat.last_answer).to_be_hidden()


def test_code_has_a_label_colours_and_a_button_that_copies_it(open_page: OpenPage, scripted_server: Server) -> None:
    chat = open_page(scripted_server, permissions=["clipboard-read", "clipboard-write"]).open()
    chat.ask("Look:\n\n```python\nprint('hi')  # greet\n```\n\nDone.")
    block = chat.last_answer.locator(".code-block")
    expect(block.locator(".code-language")).to_have_text("python")
    expect(block.locator(".hljs-string")).to_have_text("'hi'")
    block.get_by_role("button", name="Copy the code").click()
    expect(block.get_by_role("button")).to_have_text("Copied")
    assert chat.page.evaluate("() => navigator.clipboard.readText()") == "print('hi')  # greet\n"


def test_new_chat_begins_another_conversation_and_back_returns(chat: ChatPage) -> None:
    chat.ask("The first one")
    first = chat.page.url
    chat.page.keyboard.press("Control+Shift+O")
    expect(chat.page.locator("#empty-state")).to_be_visible()
    expect(chat.users).to_have_count(0)
    chat.wait_connected()
    chat.ask("The second one")
    assert chat.page.url != first
    chat.page.go_back()
    expect(chat.users).to_have_text(["The first one"])
    expect(chat.last_answer).to_have_text("The first one")


def test_a_starter_asks_its_question(chat: ChatPage) -> None:
    chat.page.get_by_role("button", name="What is the capital of France?").click()
    expect(chat.users).to_have_text(["What is the capital of France?"])
    expect(chat.page.locator("#empty-state")).to_be_hidden()


def test_a_draft_outlives_a_reload(chat: ChatPage) -> None:
    chat.input.fill("not yet sent")
    chat.page.reload()
    expect(chat.input).to_have_value("not yet sent")


def test_the_page_stays_where_the_reader_scrolled_to(chat: ChatPage) -> None:
    chat.page.set_viewport_size({"width": 900, "height": 500})
    chat.ask("\n\n".join(f"Paragraph {number}" for number in range(40)))
    assert chat.scroll()["below"] < 48, "The end of the answer is in view."
    chat.say("count to 400")
    expect(chat.last_answer).to_contain_text("1 2 3")
    chat.page.locator("#scroller").hover()
    chat.page.mouse.wheel(0, -600)
    jump = chat.page.locator("#jump-to-latest")
    expect(jump).to_be_visible()
    top = chat.scroll()["top"]
    expect(chat.last_answer).to_contain_text("40")
    assert chat.scroll()["top"] == top, "Text that comes does not move the page under the reader."
    jump.click()
    expect(jump).to_be_hidden()
    assert chat.scroll()["below"] < 48
    chat.stop_button.click()


def test_the_text_stands_still_when_the_answer_ends(chat: ChatPage) -> None:
    chat.say("count to 60")
    expect(chat.last_answer).to_contain_text("59")
    height = chat.answers.last.bounding_box()
    chat.wait_answered()
    assert height is not None
    assert chat.answers.last.bounding_box() == height, "The footer's room is kept while the answer is written."
