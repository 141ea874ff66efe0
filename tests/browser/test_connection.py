"""Coming back: cuts, reloads, other tabs, restarted servers. No character is lost and none comes twice."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import SCRIPTED, CuttingProxy, Server

pytestmark = pytest.mark.browser

COUNTED = " ".join(str(number) for number in range(1, 121))


def test_cuts_in_mid_answer_lose_nothing_and_repeat_nothing(open_page: OpenPage, proxy: CuttingProxy) -> None:
    chat = open_page(proxy).open()
    chat.say("count to 120")
    for seen in ("10 ", "40 ", "70 "):
        expect(chat.last_answer).to_contain_text(seen)
        proxy.cut()
        expect(chat.connection).to_have_text("Disconnected")
        chat.page.get_by_role("button", name="Try now").click()
        chat.wait_connected()
    chat.wait_answered()
    expect(chat.last_answer).to_have_text(COUNTED)
    expect(chat.answers).to_have_count(1)
    expect(chat.page.locator(".message.system:visible")).to_have_count(1)  # the greeting: resuming is no news


def test_without_a_connection_nothing_can_be_sent_and_the_draft_stays(open_page: OpenPage, proxy: CuttingProxy) -> None:
    chat = open_page(proxy).open()
    proxy.accepting = False
    proxy.cut()
    expect(chat.connection).to_have_text("Disconnected")
    chat.input.fill("Are you there?")
    expect(chat.page.locator("#send-button")).to_be_disabled()
    chat.input.press("Enter")
    expect(chat.errors).to_contain_text("Error connecting to engine.")
    expect(chat.input).to_have_value("Are you there?")
    proxy.accepting = True
    chat.page.evaluate("() => dispatchEvent(new Event('online'))")
    chat.wait_connected()
    chat.input.press("Enter")
    expect(chat.last_answer).to_have_text("Are you there?")


def test_a_message_sent_into_a_dying_connection_arrives_once(open_page: OpenPage, proxy: CuttingProxy) -> None:
    chat = open_page(proxy).open()
    chat.ask("before")
    chat.input.fill("into the dark")
    chat.page.evaluate(
        """async () => {
            const { ws, sendMessage } = await import("/static/script.js");
            ws.send = () => {}; // the network swallows it
            sendMessage();
        }"""
    )
    expect(chat.page.locator(".message.user.sending")).to_have_text("You: into the dark")
    proxy.cut()
    chat.page.get_by_role("button", name="Try now").click()
    expect(chat.users).to_have_text(["before", "into the dark"])
    expect(chat.last_answer).to_have_text("into the dark")
    expect(chat.page.locator(".message.user.sending")).to_have_count(0)


def test_reloading_in_mid_answer_brings_everything_back(chat: ChatPage) -> None:
    chat.say("count to 120")
    expect(chat.last_answer).to_contain_text("20 ")
    chat.page.reload()
    expect(chat.users).to_have_text(["count to 120"])
    expect(chat.stop_button).to_be_visible()
    chat.wait_answered()
    expect(chat.last_answer).to_have_text(COUNTED)
    chat.page.reload()
    expect(chat.page.locator("#engine-speed")).to_contain_text("tok/s")
    expect(chat.page.locator(".message").first).to_have_text("Connected to chat server. Model: Fluent")


def test_reloading_before_the_first_word_brings_the_waiting_back(chat: ChatPage) -> None:
    chat.say("wait")
    expect(chat.page.locator(".message.typing")).to_contain_text("Reading your message")
    chat.page.reload()
    expect(chat.page.locator(".message.typing")).to_contain_text("Reading your message")
    chat.stop_button.click()
    expect(chat.page.locator(".message.typing")).to_have_count(0)


def test_two_tabs_show_the_same_conversation(open_page: OpenPage, scripted_server: Server) -> None:
    one = open_page(scripted_server).open()
    one.ask("hello")
    two = open_page(scripted_server, beside=one).open(one.page.url)
    expect(two.last_answer).to_have_text("hello")
    two.say("count to 400")
    expect(one.users).to_have_text(["hello", "count to 400"])
    expect(one.last_answer).to_contain_text("1 2 3")
    one.stop_button.click()
    two.wait_answered()
    one.wait_answered()
    assert one.last_answer.inner_text() == two.last_answer.inner_text()
    expect(two.answers.last.locator(".answer-footer")).to_contain_text("Stopped before it was done.")


def test_a_killed_server_is_found_again_and_the_page_says_what_happened(
    open_page: OpenPage, own_server: Server
) -> None:
    chat = open_page(own_server).open()
    chat.ask("remember me")
    chat.say("count to 400")
    expect(chat.last_answer).to_contain_text("1 2 3")
    own_server.stop(signal.SIGKILL)
    expect(chat.connection).to_have_text("Disconnected")
    expect(chat.page.locator("#offline")).to_contain_text("The connection to the server is lost")
    own_server.start()
    chat.wait_connected()  # by itself
    expect(chat.page.locator(".message.system").last).to_contain_text("The server was restarted")
    expect(chat.answers.first.locator(".body")).to_have_text("remember me")
    expect(chat.answers.nth(1).locator(".answer-footer")).to_contain_text(
        "The server was restarted before it was done."
    )
    assert chat.ask("a new beginning") == "a new beginning"
    expect(chat.users).to_have_text(["remember me", "count to 400", "a new beginning"])


def test_an_unknown_chat_in_the_address_is_said_to_be_gone(open_page: OpenPage, scripted_server: Server) -> None:
    chat = open_page(scripted_server).open(f"{scripted_server.url}#0123456789abcdef")
    expect(chat.page.locator(".message.system:visible").first).to_contain_text("no longer has that conversation")
    assert chat.ask("hello") == "hello"


def test_a_message_too_long_for_a_frame_is_given_back(chat: ChatPage) -> None:
    text = "語" * 31_000  # 93,000 bytes: more than a frame may have
    chat.input.fill(text)
    chat.input.press("Enter")
    expect(chat.errors).to_contain_text("The message is too long.")
    expect(chat.input).to_have_value(text)
    chat.wait_connected()
    assert chat.ask("short") == "short"


def test_a_message_past_the_rate_limit_is_given_back_with_when_to_ask_again(open_page: OpenPage) -> None:
    server = Server(BACKENDS=SCRIPTED, RATE_LIMIT="1/hour", RATE_LIMIT_LOOPBACK="on").start()
    try:
        chat = open_page(server).open()
        assert chat.ask("hello") == "hello"
        chat.say("one too many")
        expect(chat.errors).to_contain_text("Too many messages at once.")
        expect(chat.errors).to_contain_text("Try again in")
        expect(chat.input).to_have_value("one too many")
        expect(chat.users).to_have_text(["hello"])
        expect(chat.connection).not_to_have_text("Disconnected")
    finally:
        server.stop()
