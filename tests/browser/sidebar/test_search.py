"""The search over all conversations."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Kept
from tests.browser.sidebar.rows import (
    TITLES,
    Hosting,
    link,
    requests_of,
    results,
    titles,
)

pytestmark = pytest.mark.browser


@pytest.fixture
def searched(open_page: OpenPage, hosting: Hosting) -> ChatPage:
    """A page on conversations of which two hold a fox and one is called after it."""
    long = tuple("What comes next?" if index % 2 == 0 else "More words. " * 40 for index in range(30))
    server = hosting(
        [
            Kept("c0", "Sorting a list", age=60, said=("😀😀 a fox <img src=x onerror=alert(1)> & more", "Yes.")),
            Kept("c1", "The fox", age=120, said=("Tell me.", "No.")),
            Kept("c2", "Names for a boat", age=180, said=("Names?", "The red fox", *long)),
            Kept("c3", "Letter to the landlord", age=240),
        ]
    )
    chat = open_page(server).open()
    expect(titles(chat)).to_have_count(4)
    return chat


def test_a_search_shows_where_it_was_met(searched: ChatPage) -> None:
    asked = requests_of(searched)
    searched.page.keyboard.press("Control+k")
    box = searched.page.get_by_role("combobox", name="Search conversations")
    expect(box).to_be_focused()
    box.press_sequentially("fox", delay=10)
    expect(results(searched)).to_have_count(3)
    expect(results(searched).locator("mark")).to_have_text(["fox", "fox", "fox"])
    hostile = results(searched).filter(has_text="Sorting a list").locator(".result-snippet")
    expect(hostile).to_have_text("😀😀 a fox <img src=x onerror=alert(1)> & more")
    expect(results(searched).filter(has_text="The fox").locator(".chat-title mark")).to_have_text("fox")
    expect(searched.page.locator("#chat-scroller")).to_be_hidden()
    expect(searched.status).to_have_text("3 conversations found.")
    assert asked == ["GET api/sessions?q=fox"], "The typing is waited for."


def test_the_arrow_keys_go_round_the_results_and_enter_opens_one_at_the_message(searched: ChatPage) -> None:
    box = searched.page.locator("#search-input")
    box.fill("red fox")
    found = results(searched)
    expect(found).to_have_count(1)
    box.fill("fox")
    expect(found).to_have_count(3)
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", 2), ("ArrowDown", 0)):
        box.press(key)
        expect(found.nth(place)).to_have_attribute("aria-selected", "true")
        expect(box).to_have_attribute("aria-activedescendant", found.nth(place).get_attribute("id") or "")
    box.fill("red fox")
    box.press("Enter")  # waits for the answer to what was typed
    expect(searched.page).to_have_url(f"{searched.url}#c2")
    message = searched.answers.filter(has_text="The red fox")
    expect(message).to_be_in_viewport()
    assert searched.scroll()["below"] > 500, "It is far up in the conversation."


def test_escape_clears_the_search_and_brings_the_list_back(searched: ChatPage) -> None:
    box = searched.page.locator("#search-input")
    box.fill("no such words")
    expect(searched.page.locator("#search-note")).to_have_text("Nothing found for “no such words”.")
    expect(results(searched)).to_have_count(0)
    box.press("Escape")
    expect(box).to_have_value("")
    expect(titles(searched).first).to_be_visible()
    box.fill("fox")
    expect(results(searched)).to_have_count(3)
    searched.page.get_by_role("button", name="Clear the search").click()
    expect(titles(searched).first).to_be_visible()
    expect(box).to_be_focused()


def test_a_slash_still_belongs_to_the_text_box(chat: ChatPage) -> None:
    link(chat, TITLES[0]).focus()
    chat.page.keyboard.press("/")
    expect(chat.input).to_be_focused()
