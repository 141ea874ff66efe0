"""Choosing a model: the list, its keys, loading, failing."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import SCRIPTED, Server

pytestmark = pytest.mark.browser


def test_the_list_is_grouped_and_says_what_each_model_is(chat: ChatPage) -> None:
    chat.page.locator("#model-button").click()
    group = chat.page.get_by_role("group", name="scripted")
    expect(group.get_by_role("option")).to_have_count(4)
    expect(group.get_by_role("option", name="Fluent")).to_contain_text("98 MB · Q4_1 · 8k context")
    away = group.get_by_role("option", name="Away")
    expect(away).to_contain_text("Nothing answers at its address.")
    expect(away).to_be_disabled()
    away.click(force=True)
    expect(chat.page.locator("#model-name")).to_have_text("Fluent")


def test_a_model_is_chosen_with_the_keyboard_and_loads_in_sight(chat: ChatPage) -> None:
    button = chat.page.locator("#model-button")
    button.focus()
    button.press("ArrowDown")
    expect(chat.page.get_by_role("listbox", name="Models")).to_be_focused()
    chat.page.keyboard.type("oth")
    chat.page.keyboard.press("Enter")
    loading = chat.page.locator(".message.loading")
    expect(loading).to_contain_text("4.1 GB")
    expect(loading).to_contain_text("%")
    expect(button).to_be_disabled()
    expect(chat.page.locator("#model-name")).to_have_text("Other")
    expect(loading).to_have_count(0)
    expect(button).to_be_enabled()
    button.press("ArrowDown")
    chat.page.keyboard.press("Home")
    chat.page.keyboard.press("Enter")
    expect(chat.page.locator("#model-name")).to_have_text("Fluent")


def test_the_settings_begin_with_what_the_server_does_by_itself(open_page: OpenPage) -> None:
    server = Server(BACKENDS=SCRIPTED, MAX_TOKENS="320").start()
    try:
        chat = open_page(server).open()
        expect(chat.page.locator("#settings-summary")).to_have_text("320 tokens · T 0.7")
        chat.page.locator("#model-button").click()
        chat.page.get_by_role("option", name="Other").click()
        expect(chat.page.locator("#settings-summary")).to_have_text("320 tokens · T 0.2")
    finally:
        server.stop()


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(chat: ChatPage) -> None:
    chat.page.locator("#model-button").click()
    chat.page.get_by_role("option", name="Damaged").click()
    expect(chat.errors).to_contain_text("Damaged could not be loaded. The file is cut off.")
    expect(chat.page.locator("#model-name")).to_have_text("Fluent")
    expect(chat.page.locator("#model-button")).to_be_enabled()
    expect(chat.page.locator(".message.loading")).to_have_count(0)
    assert chat.ask("still here") == "still here"
