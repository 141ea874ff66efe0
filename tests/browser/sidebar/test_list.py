"""The list of conversations: how they stand, what moves them, and what it says when there is none."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from server.protocol import SystemMessage
from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Host, Kept
from tests.browser.servers import CuttingProxy
from tests.browser.sidebar.rows import (
    DAY,
    TITLES,
    Hosting,
    link,
    requests_of,
    row,
    titles,
)

pytestmark = pytest.mark.browser


# The list


def test_conversations_stand_under_their_days_with_the_pinned_ones_first(open_page: OpenPage, hosting: Hosting) -> None:
    server = hosting(
        [
            Kept("a", "Just now"),
            Kept("b", "A month ago", age=40 * DAY, pinned=True),
            Kept("c", "Long ago", age=800 * DAY),
        ]
    )
    chat = open_page(server).open()
    expect(titles(chat)).to_have_text(["A month ago", "Just now", "Long ago"])
    year = time.localtime(time.time() - 800 * DAY).tm_year
    words = chat.page.locator(".chats-heading").all_inner_texts()
    assert words[:2] == ["Pinned", "Today"]
    assert words[2].endswith(f" {year}")
    expect(chat.page.get_by_role("list", name="Pinned").get_by_role("listitem")).to_have_count(1)


def test_a_chat_that_begins_is_listed_marked_and_named_in_the_tab(chat: ChatPage) -> None:
    chat.say("wait")
    expect(titles(chat)).to_have_text(["wait", *TITLES])
    expect(link(chat, "wait")).to_have_attribute("aria-current", "page")
    expect(chat.page.locator("[aria-current=page]")).to_have_count(1)
    expect(row(chat, "wait").locator(".running-mark")).to_be_visible()
    expect(chat.page).to_have_title("wait · Switchboard")
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("wait")
    chat.stop_button.click()
    expect(row(chat, "wait").locator(".running-mark")).to_be_hidden()


def test_a_conversation_is_a_link_that_opens_it(chat: ChatPage) -> None:
    chat.ask("the first")
    first = chat.page.evaluate("() => location.hash")
    chat.page.locator("#new-chat").click()
    expect(link(chat, "the first")).to_have_attribute("href", first)
    expect(chat.page.locator("[aria-current=page]")).to_have_count(0)
    link(chat, "the first").click()
    expect(chat.users).to_have_text(["the first"])
    expect(link(chat, "the first")).to_have_attribute("aria-current", "page")
    expect(chat.input).to_be_focused()
    with chat.page.context.expect_page() as other:
        link(chat, "the first").click(modifiers=["Control"])
    assert other.value.url.endswith(first)
    other.value.close()


def test_a_conversation_that_is_still_to_come_is_not_shown_as_an_empty_one(open_page: OpenPage, server: Host) -> None:
    proxy = CuttingProxy(server.port)
    chat = open_page(proxy).open()
    proxy.accepting = False
    link(chat, TITLES[1]).click()
    expect(chat.connection).to_have_text("Disconnected")
    expect(link(chat, TITLES[1])).to_have_attribute("aria-current", "page")
    expect(chat.page.locator("#empty-question")).to_be_hidden()
    proxy.accepting = True
    chat.page.get_by_role("button", name="Try now").click()
    expect(chat.users).to_have_text(["Well?"])
    proxy.close()


def test_what_others_do_shows_without_a_request(chat: ChatPage, server: Host) -> None:
    asked = requests_of(chat)
    server.say("wait")
    expect(titles(chat)).to_have_text(["wait", *TITLES])
    expect(chat.page.locator(".running-mark:visible")).to_have_count(1)
    server.ask("PATCH", "sessions/c2", json={"title": "A boat"})
    expect(titles(chat)).to_have_text(["wait", *TITLES[:2], "A boat", TITLES[3]])
    server.say("hello", "c3")
    expect(titles(chat)).to_have_text([TITLES[3], "wait", *TITLES[:2], "A boat"])
    server.ask("DELETE", "sessions/c1")
    expect(titles(chat)).to_have_text([TITLES[3], "wait", TITLES[0], "A boat"])
    server.ask("POST", "sessions/c1/restore")
    expect(titles(chat)).to_have_text([TITLES[3], "wait", TITLES[0], TITLES[1], "A boat"])
    assert asked == []


def test_nothing_is_asked_while_nothing_happens(open_page: OpenPage, server: Host) -> None:
    chat = open_page(server)
    chat.page.clock.install()
    chat.open()
    expect(titles(chat)).to_have_count(4)
    asked = requests_of(chat)
    chat.page.clock.fast_forward("08:00:00")
    server.say("hello")
    expect(titles(chat)).to_have_count(5)
    assert asked == []


def test_at_midnight_today_becomes_yesterday(open_page: OpenPage, server: Host) -> None:
    now = time.time()
    ahead = 12 - int(now % DAY // 3_600)  # where it is noon
    chat = open_page(server, timezone_id=f"Etc/GMT{-ahead:+d}")
    chat.page.clock.install(time=now)
    chat.open()
    expect(titles(chat)).to_have_count(4)
    chat.page.clock.pause_at(now + DAY - (now + 3_600 * ahead) % DAY - 1)
    chat.page.clock.run_for(100)
    expect(chat.page.locator(".chats-heading").first).to_have_text("Today")
    chat.page.clock.run_for(3_000)
    expect(chat.page.locator(".chats-heading").first).to_have_text("Yesterday")


def test_what_happened_while_there_was_no_connection_shows_with_the_next_one(open_page: OpenPage, server: Host) -> None:
    proxy = CuttingProxy(server.port)
    chat = open_page(proxy).open()
    expect(titles(chat)).to_have_count(4)
    proxy.accepting = False
    proxy.cut()
    expect(chat.connection).to_have_text("Disconnected")
    server.ask("DELETE", "sessions/c1")
    server.say("hello")
    proxy.accepting = True
    chat.page.get_by_role("button", name="Try now").click()
    expect(titles(chat)).to_have_text(["hello", TITLES[0], *TITLES[2:]])
    proxy.close()


def test_an_empty_list_says_what_it_is_for(open_page: OpenPage, hosting: Hosting) -> None:
    server = hosting([])
    chat = open_page(server).open()
    note = chat.page.get_by_text("Your conversations will be listed here.")
    expect(note).to_be_visible()
    server.say("hello")
    expect(titles(chat)).to_have_text(["hello"])
    expect(note).to_be_hidden()


def test_a_long_title_is_cut_on_its_line_and_shown_whole_as_a_tooltip(chat: ChatPage, server: Host) -> None:
    long = "A very long title of a conversation about nothing in particular"
    server.ask("PATCH", "sessions/c0", json={"title": long})
    expect(link(chat, long)).to_have_attribute("title", long)
    box = row(chat, long).bounding_box()
    assert box
    assert box["height"] == 38
    before = titles(chat).first.bounding_box()
    row(chat, long).hover()
    expect(row(chat, long).locator(".chat-more")).to_have_css("opacity", "1")
    assert titles(chat).first.bounding_box() == before, "The title stands still when the button appears."


def test_the_mark_of_a_running_answer_pulses_unless_motion_is_unwanted(open_page: OpenPage, server: Host) -> None:
    server.say("wait")
    for motion, times in (("no-preference", "infinite"), ("reduce", "1")):
        chat = open_page(server, reduced_motion=motion).open()
        mark = row(chat, "wait").locator(".running-mark")
        expect(mark).to_have_css("animation-iteration-count", times)
        expect(mark).to_have_text("An answer is being written")


# When nothing is kept


def test_without_a_history_the_list_says_so_and_everything_else_works(open_page: OpenPage) -> None:
    server = Host(None).start()
    chat = open_page(server).open()
    expect(chat.page.locator("#history-off")).to_have_text(
        "Conversations are not being saved right now. DATABASE_URL is off."
    )
    assert chat.ask("hello") == "hello"
    expect(titles(chat)).to_have_text(["hello"])
    link(chat, "hello").focus()
    chat.page.keyboard.press("F2")
    chat.page.keyboard.type("Hi")
    chat.page.keyboard.press("Enter")
    expect(titles(chat)).to_have_text(["Hi"])
    server.stop()


def test_a_disk_that_fills_up_is_told_beside_the_list(chat: ChatPage, server: Host) -> None:
    server.tell(SystemMessage(message="Conversations are not being saved. The disk is full.", state="history_off"))
    notice = chat.page.locator("#history-off")
    expect(notice).to_have_text("Conversations are not being saved right now. The disk is full.")
    expect(titles(chat)).to_have_text(TITLES)
    server.tell(SystemMessage(message="Conversations are being saved again.", state="history_on"))
    expect(notice).to_be_hidden()
