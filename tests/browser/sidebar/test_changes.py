"""What is done to a conversation in the list: renamed, pinned, deleted, had back, taken out and in."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Host, Kept
from tests.browser.sidebar.rows import (
    DAY,
    KEPT,
    TITLES,
    Hosting,
    choose,
    link,
    refuse_changes,
    requests_of,
    titles,
    toasts,
)

pytestmark = pytest.mark.browser


# Renaming and pinning


@pytest.mark.parametrize("way", ["key", "double click", "menu"])
def test_a_title_is_changed_in_place_and_every_browser_shows_it(
    open_page: OpenPage, chat: ChatPage, server: Host, way: str
) -> None:
    other = open_page(server).open()
    expect(titles(other)).to_have_count(4)
    if way == "key":
        link(chat, TITLES[1]).focus()
        chat.page.keyboard.press("F2")
    elif way == "double click":
        link(chat, TITLES[1]).dblclick()
    else:
        choose(chat, TITLES[1], "Rename")
    box = chat.page.get_by_role("textbox", name="Title")
    expect(box).to_be_focused()
    expect(box).to_have_value(TITLES[1])
    box.fill("Paris")
    box.press("Enter")
    expect(titles(chat).nth(1)).to_have_text("Paris")
    expect(link(chat, "Paris")).to_be_focused()
    expect(titles(other).nth(1)).to_have_text("Paris")
    assert server.titles()[1] == "Paris"


def test_escape_and_an_empty_title_change_nothing_and_leaving_keeps(chat: ChatPage) -> None:
    box = chat.page.get_by_role("textbox", name="Title")
    asked = requests_of(chat)
    for keys in (("Escape",), ("Delete", "Enter")):
        link(chat, TITLES[0]).focus()
        chat.page.keyboard.press("F2")
        box.press_sequentially("x")
        box.select_text()
        for key in keys:
            box.press(key)
        expect(titles(chat).first).to_have_text(TITLES[0])
        expect(link(chat, TITLES[0])).to_be_focused()
    chat.page.keyboard.press("F2")
    box.fill("Kept by leaving")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    expect(box).to_be_focused()
    chat.input.click()
    expect(titles(chat).first).to_have_text("Kept by leaving")
    assert asked == ["PATCH api/sessions/c0"]


def test_renaming_goes_on_while_the_line_moves(chat: ChatPage, server: Host) -> None:
    link(chat, TITLES[3]).focus()
    chat.page.keyboard.press("F2")
    box = chat.page.get_by_role("textbox", name="Title")
    box.fill("Half a ti")
    server.say("hello", "c3")
    expect(chat.page.locator(".chat-row").first.locator(".chat-rename")).to_be_visible()
    expect(box).to_be_focused()
    box.press_sequentially("tle")
    box.press("Enter")
    expect(titles(chat).first).to_have_text("Half a title")


def test_renaming_ends_when_the_conversation_is_deleted_elsewhere(chat: ChatPage, server: Host) -> None:
    link(chat, TITLES[1]).focus()
    chat.page.keyboard.press("F2")
    chat.page.get_by_role("textbox", name="Title").fill("Too late")
    server.ask("DELETE", "sessions/c1")
    expect(titles(chat)).to_have_text([TITLES[0], *TITLES[2:]])
    expect(chat.page.get_by_role("textbox", name="Title")).to_have_count(0)
    server.say("hello")
    expect(titles(chat)).to_have_text(["hello", TITLES[0], *TITLES[2:]])
    expect(toasts(chat)).to_have_count(0)


def test_a_pinned_conversation_moves_to_the_top_and_back(chat: ChatPage, server: Host) -> None:
    choose(chat, TITLES[2], "Pin")
    expect(titles(chat)).to_have_text([TITLES[2], *TITLES[:2], TITLES[3]])
    expect(chat.page.locator(".chats-heading").first).to_have_text("Pinned")
    expect(chat.status).to_have_text("Pinned.")
    assert server.titles()[0] == TITLES[2]
    choose(chat, TITLES[2], "Unpin")
    expect(titles(chat)).to_have_text(TITLES)


def test_what_the_server_refuses_is_taken_back_and_told(chat: ChatPage) -> None:
    refuse_changes(chat)
    link(chat, TITLES[0]).focus()
    chat.page.keyboard.press("Delete")
    expect(toasts(chat)).to_have_text("It was not deleted. The disk is full.")
    expect(titles(chat)).to_have_text(TITLES)
    choose(chat, TITLES[1], "Pin")
    expect(toasts(chat).last).to_have_text("It was not pinned. The disk is full.")
    expect(titles(chat)).to_have_text(TITLES)


# Deleting


def test_each_of_several_deletions_can_be_undone(chat: ChatPage, server: Host) -> None:
    link(chat, TITLES[0]).focus()
    chat.page.keyboard.press("Delete")
    expect(link(chat, TITLES[1])).to_be_focused()
    chat.page.keyboard.press("Delete")
    choose(chat, TITLES[3], "Delete")
    expect(titles(chat)).to_have_text([TITLES[2]])
    expect(toasts(chat)).to_have_text([f"Deleted “{TITLES[index]}”." for index in (0, 1, 3)])
    chat.page.locator(".toast").first.get_by_role("button", name="Undo").click()
    expect(titles(chat)).to_have_text([TITLES[0], TITLES[2]])
    expect(link(chat, TITLES[0])).to_be_focused()
    chat.page.keyboard.press("Control+z")
    chat.page.keyboard.press("Control+z")
    expect(titles(chat)).to_have_text(TITLES)
    expect(toasts(chat)).to_have_count(0)
    expect(chat.status).to_contain_text("Restored")
    assert server.titles() == list(TITLES)


def test_the_focus_stays_in_the_list_when_the_line_it_was_at_goes(chat: ChatPage, server: Host) -> None:
    link(chat, TITLES[1]).focus()
    server.ask("DELETE", "sessions/c1")
    expect(link(chat, TITLES[2])).to_be_focused()
    for title in (TITLES[2], TITLES[3], TITLES[0]):
        expect(link(chat, title)).to_be_focused()
        chat.page.keyboard.press("Delete")
    expect(chat.page.locator("#new-chat")).to_be_focused()


def test_undo_is_offered_for_eight_seconds_and_not_taken_away_from_under_the_hand(
    open_page: OpenPage, server: Host
) -> None:
    chat = open_page(server)
    chat.page.clock.install()
    chat.open()
    link(chat, TITLES[0]).focus()
    chat.page.keyboard.press("Delete")
    expect(chat.status).to_have_text(f"Deleted “{TITLES[0]}”. Undo: Control Z.")
    undo = chat.page.get_by_role("button", name="Undo")
    chat.page.clock.fast_forward(6_000)
    expect(undo).to_be_visible()
    chat.page.clock.fast_forward(2_500)
    expect(undo).to_have_count(0)
    chat.page.keyboard.press("Delete")
    undo.focus()
    chat.page.clock.fast_forward(60_000)
    expect(undo).to_be_focused()
    chat.input.focus()
    chat.page.clock.fast_forward(8_500)
    expect(undo).to_have_count(0)


def test_undo_waits_for_the_deletion_that_it_takes_back(chat: ChatPage, server: Host) -> None:
    held: list[Route] = []
    chat.page.route("**/api/sessions/c0", lambda route: held.append(route))
    asked = requests_of(chat)
    link(chat, TITLES[0]).focus()
    with chat.page.expect_request("**/api/sessions/c0"):
        chat.page.keyboard.press("Delete")
    chat.page.keyboard.press("Control+z")
    expect(toasts(chat)).to_have_count(0)
    assert asked == ["DELETE api/sessions/c0"]
    held[0].continue_()
    expect(titles(chat)).to_have_text(TITLES)
    expect(chat.status).to_contain_text("Restored")
    assert asked == ["DELETE api/sessions/c0", "POST api/sessions/c0/restore"]
    assert server.titles() == list(TITLES)


def test_the_undo_button_is_the_next_stop_after_the_sidebar(chat: ChatPage) -> None:
    link(chat, TITLES[0]).focus()
    chat.page.keyboard.press("Delete")
    chat.page.keyboard.press("Tab")  # the line's menu
    chat.page.keyboard.press("Tab")
    expect(chat.page.get_by_role("button", name="Undo")).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(titles(chat)).to_have_text(TITLES)


def test_deleting_the_open_conversation_begins_a_new_one_and_undo_opens_it_again(chat: ChatPage) -> None:
    chat.ask("keep me")
    choose(chat, "keep me", "Delete")
    expect(chat.users).to_have_count(0)
    expect(chat.page.locator("#empty-question")).to_be_visible()
    assert chat.page.evaluate("() => location.hash") == ""
    expect(chat.input).to_be_focused()
    expect(titles(chat)).to_have_text(TITLES)
    chat.page.get_by_role("button", name="Undo").click()
    expect(chat.users).to_have_text(["keep me"])
    expect(chat.last_answer).to_have_text("keep me")
    expect(link(chat, "keep me")).to_have_attribute("aria-current", "page")
    choose(chat, "keep me", "Delete")
    expect(chat.input).to_be_focused()
    chat.page.keyboard.press("Control+z")
    expect(chat.users).to_have_text(["keep me"])


def test_a_conversation_deleted_elsewhere_stays_to_be_read(chat: ChatPage, server: Host) -> None:
    chat.ask("read me")
    identity = chat.page.evaluate("() => location.hash.slice(1)")
    server.ask("DELETE", f"sessions/{identity}")
    expect(chat.page.locator(".message.system").last).to_contain_text("This conversation was deleted elsewhere.")
    expect(chat.users).to_have_text(["read me"])
    expect(titles(chat)).to_have_text(TITLES)
    chat.wait_connected()
    server.ask("PATCH", "sessions/c0", json={"title": "Still in step"})
    expect(titles(chat).first).to_have_text("Still in step")
    chat.ask("a new one")
    expect(chat.users).to_have_text(["read me", "a new one"])
    expect(titles(chat).first).to_have_text("a new one")


# Files


def test_one_and_all_can_be_had_as_files(chat: ChatPage) -> None:
    for item, ending in (("Export as JSON", ".json"), ("Export as Markdown", ".md")):
        with chat.page.expect_download() as download:
            choose(chat, TITLES[1], item)
        assert download.value.suggested_filename == TITLES[1] + ending
    for item, ending in (("Export all as JSON", ".json"), ("Export all as Markdown", ".zip")):
        chat.page.locator("#more-button").click()
        with chat.page.expect_download() as download:
            chat.page.get_by_role("link", name=item).click()
        assert download.value.suggested_filename.endswith(ending)
        assert download.value.failure() is None


def test_what_was_taken_out_can_be_taken_in_elsewhere_from_the_picker_and_from_a_drop(
    open_page: OpenPage, hosting: Hosting, tmp_path: Path
) -> None:
    server = hosting([*KEPT, Kept("empty", "Nothing said", age=DAY)])
    document = tmp_path / "chats.json"
    document.write_bytes(httpx.get(f"{server.url}api/export?format=json").content)
    chat = open_page(hosting([])).open()
    chat.page.locator("#more-button").click()
    with chat.page.expect_file_chooser() as chooser:
        chat.page.get_by_role("button", name="Import conversations").click()
    chooser.value.set_files(document)
    expect(toasts(chat).last).to_have_text(re.compile("4 imported, 1 skipped: .*“Nothing said”.* has no messages."))
    expect(titles(chat)).to_have_text(TITLES)
    dropped = chat.page.evaluate_handle(
        """(document) => {
            const files = new DataTransfer();
            files.items.add(new File([document], "dropped.json"));
            return files;
        }""",
        document.read_text(),
    )
    sidebar = chat.page.locator("#sidebar")
    sidebar.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(sidebar).to_have_class("sidebar dropping")
    chat.page.locator("#scroller").dispatch_event("dragover", {"dataTransfer": dropped})
    expect(sidebar).to_have_class("sidebar")
    sidebar.dispatch_event("dragover", {"dataTransfer": dropped})
    sidebar.dispatch_event("drop", {"dataTransfer": dropped})
    expect(sidebar).to_have_class("sidebar")
    expect(toasts(chat).last).to_have_text(re.compile("0 imported, 5 skipped: "))


def test_a_file_that_is_refused_is_named_with_the_reason(chat: ChatPage, tmp_path: Path) -> None:
    file = tmp_path / "holiday.json"
    file.write_text("not at all JSON")
    chat.page.locator("#import-files").set_input_files(file)
    expect(toasts(chat).last).to_contain_text("holiday.json was not imported. ")
    assert len(toasts(chat).last.inner_text()) > len("holiday.json was not imported. ") + 10, "It says why."
