"""What is said while an answer runs: it waits in sight, can be changed, and is there after a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def chat(fresh: ChatPage) -> ChatPage:
    """A chat in which an answer runs and three messages wait."""
    fresh.say("wait")
    expect(fresh.page.locator(".message.typing")).to_be_visible()
    for message in ("alpha", "beta", "gamma"):
        fresh.say(message)
    expect(fresh.queued.locator(".body")).to_have_text(["alpha", "beta", "gamma"])
    return fresh


def test_waiting_messages_are_numbered_and_survive_a_reload(chat: ChatPage) -> None:
    places = chat.queued.locator(".queued-place")
    expect(places).to_have_text(["Waiting, 1st", "Waiting, 2nd", "Waiting, 3rd"])
    chat.page.reload()
    expect(chat.queued.locator(".body")).to_have_text(["alpha", "beta", "gamma"])
    expect(places).to_have_text(["Waiting, 1st", "Waiting, 2nd", "Waiting, 3rd"])


def test_they_are_moved_by_buttons_and_keys_and_the_focus_goes_along(chat: ChatPage) -> None:
    later = chat.queued.first.get_by_role("button", name="Answer later")
    later.click()
    expect(chat.queued.locator(".body")).to_have_text(["beta", "alpha", "gamma"])
    expect(chat.queued.nth(1).get_by_role("button", name="Answer later")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.queued.locator(".body")).to_have_text(["beta", "gamma", "alpha"])
    expect(chat.queued.nth(2).get_by_role("button", name="Answer later")).to_be_focused()
    chat.page.keyboard.press("Enter")  # it is the last: nothing happens
    chat.page.keyboard.press("Alt+ArrowUp")
    expect(chat.queued.locator(".body")).to_have_text(["beta", "alpha", "gamma"])
    expect(chat.status).to_have_text("Waiting, 2nd.")


def test_a_waiting_message_is_rewritten_and_another_browser_sees_it(
    chat: ChatPage, open_page: OpenPage, scripted_server: Server
) -> None:
    other = open_page(scripted_server).open(chat.page.url)
    expect(other.queued).to_have_count(3)
    chat.queued.nth(1).get_by_role("button", name="Edit this message").click()
    chat.queued.nth(1).locator("textarea").fill("beta, but longer")
    other.queued.first.get_by_role("button", name="Take this message back").click()
    expect(other.input).to_be_focused()
    expect(chat.queued).to_have_count(2)
    box = chat.queued.first.locator("textarea")
    expect(box).to_be_focused()
    expect(box).to_have_value("beta, but longer")
    box.press("Control+Enter")
    expect(other.queued.locator(".body")).to_have_text(["beta, but longer", "gamma"])
    chat.input.press("ArrowUp")
    expect(chat.queued.last.locator("textarea")).to_have_value("gamma")


def test_an_edit_goes_on_when_the_message_is_answered_meanwhile(chat: ChatPage) -> None:
    chat.queued.first.get_by_role("button", name="Edit this message").click()
    chat.queued.first.locator("textarea").fill("alpha, rewritten")
    chat.stop_button.click()
    box = chat.user_messages.nth(1).locator("textarea")
    expect(box).to_have_value("alpha, rewritten")
    expect(chat.users.last).to_have_text("gamma")
    box.press("Control+Enter")
    expect(chat.users).to_have_text(["wait", "alpha, rewritten"])


def test_stopping_twice_takes_back_what_waits_and_returns_the_last(chat: ChatPage) -> None:
    chat.queued.nth(0).get_by_role("button", name="Take this message back").click()
    chat.queued.nth(0).get_by_role("button", name="Edit this message").click()
    chat.queued.nth(0).locator("textarea").fill("wait")
    chat.page.keyboard.press("Control+Enter")
    expect(chat.queued.locator(".body")).to_have_text(["wait", "gamma"])
    chat.input.press("Escape")
    expect(chat.users).to_have_text(["wait", "wait"])
    expect(chat.page.get_by_role("button", name="Stop all")).to_have_text("Stop all")
    chat.input.press("Escape")
    expect(chat.queued).to_have_count(0)
    expect(chat.input).to_have_value("gamma")
    expect(chat.stop_button).to_be_hidden()
    expect(chat.users).to_have_text(["wait", "wait"])


def test_a_moment_later_stop_means_one_answer_again(chat: ChatPage) -> None:
    chat.stop_button.click()
    expect(chat.stop_button).to_have_class("round stop all")
    expect(chat.stop_button).to_have_class("round stop")
