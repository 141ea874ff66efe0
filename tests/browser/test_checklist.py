"""The ten things a person checks first, in a real browser, against a real server with the real model."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import CuttingProxy, Server

pytestmark = pytest.mark.browser

MODEL_TIMEOUT_MS = 60_000


@pytest.fixture
def chat(open_page: OpenPage, model_server: Server) -> ChatPage:
    chat = open_page(model_server).open()
    expect(chat.page.locator("#model-dot")).to_have_attribute("data-state", "good", timeout=MODEL_TIMEOUT_MS)
    return chat


def test_1_the_connection_light_is_green(chat: ChatPage) -> None:
    expect(chat.connection).to_have_text("Connected")
    dot = chat.page.locator("#connection-dot")
    red, green, blue = dot.evaluate(
        "node => getComputedStyle(node).backgroundColor.match(/\\d+/g).map(Number)",
    )[:3]
    assert green > red
    assert green > blue


def test_2_the_dropdown_of_models_is_populated(chat: ChatPage) -> None:
    expect(chat.page.locator("#model-name")).to_have_text("SmolLM2 135M")
    chat.page.locator("#model-button").click()
    expect(chat.page.get_by_role("option", name="SmolLM2 135M")).to_contain_text("Q4_1 · 8k context")
    expect(chat.page.get_by_role("option", name="Echo")).to_be_visible()


def test_3_send_is_enabled(chat: ChatPage) -> None:
    expect(chat.page.locator("#send-button")).to_be_enabled()


def test_4_to_7_a_question_goes_right_typing_shows_and_the_answer_comes_left_in_view(chat: ChatPage) -> None:
    chat.page.evaluate(
        """() => {
            window.sawTyping = [];
            new MutationObserver(() => {
                const typing = document.querySelector(".message.typing");
                if (typing) window.sawTyping.push(typing.innerText);
            }).observe(document.getElementById("messages"), { childList: true, subtree: true });
        }"""
    )
    chat.say("What is the capital of France?")
    expect(chat.answers.last.locator(".answer-buttons")).to_be_visible(timeout=MODEL_TIMEOUT_MS)
    expect(chat.last_answer).to_contain_text("Paris")
    assert any("AI is typing" in words for words in chat.page.evaluate("() => sawTyping"))
    column = chat.page.locator("#messages").bounding_box()
    user, answer = chat.page.locator(".message.user").bounding_box(), chat.answers.last.bounding_box()
    assert column
    assert user
    assert answer
    assert user["x"] + user["width"] > answer["x"] + answer["width"] - 2, "The question stands on the right."
    assert user["x"] > answer["x"] + 100
    chat.page.locator("#settings-button").click()
    chat.page.get_by_label("Longest answer").press("Home")
    chat.page.keyboard.press("Escape")
    chat.page.set_viewport_size({"width": 800, "height": 400})
    chat.say("Tell me more about Paris.")
    expect(chat.answers).to_have_count(2, timeout=MODEL_TIMEOUT_MS)
    expect(chat.answers.last.locator(".answer-buttons")).to_be_visible(timeout=MODEL_TIMEOUT_MS)
    assert chat.scroll()["top"] > 0
    assert chat.scroll()["below"] < 48, "The page follows the conversation."


def test_8_another_model_can_be_chosen(chat: ChatPage) -> None:
    chat.page.locator("#model-button").click()
    chat.page.get_by_role("option", name="Echo").click()
    expect(chat.page.locator("#model-name")).to_have_text("Echo")
    assert chat.ask("say this") == "say this"
    chat.page.locator("#model-button").click()
    chat.page.get_by_role("option", name="SmolLM2 135M").click()
    expect(chat.page.locator("#model-name")).to_have_text("SmolLM2 135M", timeout=MODEL_TIMEOUT_MS)


def test_9_errors_are_displayed(chat: ChatPage) -> None:
    chat.page.evaluate(
        """async () => {
            const { ws } = await import("/static/script.js");
            ws.send(JSON.stringify({ type: "regenerate", id: "x", cmd_id: "1" }));
        }"""
    )
    expect(chat.errors).to_be_visible()


def test_10_it_reconnects_after_a_disconnect(open_page: OpenPage, model_server: Server) -> None:
    proxy = CuttingProxy(model_server.port)
    chat = open_page(proxy).open()
    proxy.cut()
    expect(chat.connection).to_have_text("Disconnected")
    chat.wait_connected()
    proxy.close()
