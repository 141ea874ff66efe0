"""The sidebar: conversations listed, found, renamed, pinned, deleted and brought back, taken out and in."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from server.protocol import SystemMessage
from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Host, Kept
from tests.browser.servers import CuttingProxy
from tests.browser.test_accessibility import AXE, violations

pytestmark = pytest.mark.browser

DAY = 86_400.0
TITLES = ("Sorting a list", "Capital of France", "Names for a boat", "Letter to the landlord")
KEPT = [Kept(f"c{index}", title, age=60.0 * (index + 1), said=("Well?", "Well.")) for index, title in enumerate(TITLES)]

Hosting = Callable[[Sequence[Kept]], Host]


@pytest.fixture(scope="module")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history without conversations: a copy of it need not be made anew."""
    folder = tmp_path_factory.mktemp("history")
    Host(folder).start().stop()
    return folder


@pytest.fixture
def hosting(empty_history: Path, tmp_path: Path) -> Iterator[Hosting]:
    """Starts servers on histories of these conversations."""
    hosts: list[Host] = []

    def hosting(kept: Sequence[Kept]) -> Host:
        folder = shutil.copytree(empty_history, tmp_path / f"history-{len(hosts)}")
        hosts.append(Host(folder, kept).start())
        return hosts[-1]

    yield hosting
    for host in hosts:
        host.stop()


@pytest.fixture
def server(hosting: Hosting) -> Host:
    """A server with four conversations of the last minutes, the first one the newest."""
    return hosting(KEPT)


@pytest.fixture
def chat(open_page: OpenPage, server: Host) -> ChatPage:
    chat = open_page(server).open()
    expect(titles(chat)).to_have_text(TITLES)
    return chat


def titles(chat: ChatPage) -> Locator:
    return chat.page.locator(".chat-row .chat-title")


def row(chat: ChatPage, title: str) -> Locator:
    return chat.page.locator(".chat-row").filter(has=chat.page.get_by_text(title, exact=True))


def link(chat: ChatPage, title: str) -> Locator:
    return row(chat, title).locator("a")


def choose(chat: ChatPage, title: str, item: str) -> None:
    """Choose an item of a conversation's menu."""
    row(chat, title).hover()
    chat.page.get_by_role("button", name=f"Options for {title}").click()
    chat.page.get_by_role("menuitem", name=item).click()


def toasts(chat: ChatPage) -> Locator:
    return chat.page.locator(".toast-words")


def requests_of(chat: ChatPage) -> list[str]:
    """What the page asks of the history from now on."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/sessions" in request.url:
            asked.append(f"{request.method} {request.url.removeprefix(chat.url)}")

    chat.page.on("request", note)
    return asked


def refuse_changes(chat: ChatPage) -> None:
    """From now on nothing can be written."""

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            route.continue_()
        else:
            route.fulfill(status=503, json={"error": "The disk is full."})

    chat.page.route("**/api/**", answer)


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


# Searching


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


def results(chat: ChatPage) -> Locator:
    return chat.page.get_by_role("option")


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


# Ten thousand


def test_ten_thousand_conversations_are_scrolled_through_without_a_stutter(
    open_page: OpenPage, hosting: Hosting
) -> None:
    server = hosting([Kept(f"c{index:05}", f"Conversation {index}", age=index * 3_600.0) for index in range(10_000)])
    chat = open_page(server, viewport={"width": 1280, "height": 800}).open()
    expect(titles(chat).first).to_have_text("Conversation 0")
    browser, page = chat.page.context.browser, chat.page
    assert browser
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    figures = page.evaluate(SCROLL_TO, ["Conversation 9999", 2_000])
    longest = longest_task_ms(json.loads(browser.stop_tracing()))
    first = memory(page)
    for title, step in (("Conversation 0", -9_000), ("Conversation 9999", 9_000)):
        assert page.evaluate(SCROLL_TO, [title, step])["isThere"]
    again = memory(page)
    print(f"10,000 conversations: {figures}, longest task {longest:.1f} ms of processor time; {first} -> {again}")  # noqa: T201
    assert figures["isThere"]
    assert figures["mostNodes"] < 700, "Only what is in view, and some around it, is in the document."
    assert longest < 50
    assert again["nodes"] < first["nodes"] + 500, "Lines are used again, not made anew."
    assert again["heap"] < first["heap"] + 1_000_000


SCROLL_TO = """async ([title, step]) => {
    const scroller = document.getElementById("chat-scroller");
    let mostNodes = 0, frames = 0, isThere = false;
    while (!isThere && frames < 4000) {
        scroller.scrollTop += step;
        await new Promise(requestAnimationFrame);
        frames += 1;
        mostNodes = Math.max(mostNodes, document.querySelectorAll("#chat-canvas *").length);
        isThere = [...document.querySelectorAll(".chat-title")].some(({ textContent }) => textContent === title);
    }
    return { mostNodes, frames, isThere, lines: document.querySelectorAll(".chat-row").length };
}"""


def memory(page: Page) -> dict[str, int]:
    """What the page holds once the garbage is gone: nodes, those out of the document too, and bytes of the heap."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    nodes = session.send("Memory.getDOMCounters")["nodes"]
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return {"nodes": nodes, "heap": int(heap)}


def longest_task_ms(trace: dict[str, list[dict[str, Any]]]) -> float:
    """The longest task of the page's main thread, in processor time: what others do on the machine does not count."""
    events = trace["traceEvents"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    main = {key for key, name in names.items() if name == "CrRendererMain"}
    tasks = [event for event in events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main]
    assert tasks, "The trace holds the page's tasks."
    return max(float(event.get("tdur", 0)) for event in tasks) / 1000


def test_what_comes_above_does_not_move_what_is_looked_at(open_page: OpenPage, hosting: Hosting) -> None:
    server = hosting([Kept(f"c{index:03}", f"Conversation {index}", age=60.0 * index + 60) for index in range(90)])
    chat = open_page(server).open()
    chat.page.locator("#chat-scroller").evaluate("node => (node.scrollTop = 1500)")
    seen = row(chat, "Conversation 45")
    expect(seen).to_be_visible()
    before = seen.bounding_box()
    server.say("hello")
    server.say("hello", "c010")
    server.ask("DELETE", "sessions/c020")
    server.ask("DELETE", "sessions/c021")
    expect(seen).to_have_attribute("aria-setsize", "89")
    assert seen.bounding_box() == before


# The keyboard, small screens, screen readers


def test_the_list_is_one_stop_of_the_tab_key_and_the_arrows_go_through_it(
    open_page: OpenPage, hosting: Hosting
) -> None:
    server = hosting([Kept(f"c{index:03}", f"Conversation {index}", age=60.0 * index) for index in range(450)])
    chat = open_page(server).open()
    expect(titles(chat).first).to_be_visible()
    chat.page.locator("#search-input").focus()
    chat.page.keyboard.press("Tab")
    expect(link(chat, "Conversation 0")).to_be_focused()
    for key, wanted in (
        ("ArrowDown", 1),
        ("ArrowDown", 2),
        ("ArrowUp", 1),
        ("End", 199),
        ("ArrowUp", 198),
        ("Home", 0),
    ):
        chat.page.keyboard.press(key)
        expect(link(chat, f"Conversation {wanted}")).to_be_focused()
        expect(link(chat, f"Conversation {wanted}")).to_be_in_viewport()
    chat.page.keyboard.press("ArrowDown")
    chat.page.locator("#chat-scroller").evaluate("node => (node.scrollTop = 3000)")
    expect(link(chat, "Conversation 80")).to_be_visible()
    expect(link(chat, "Conversation 1")).to_be_focused()  # a line that a person is at is not taken away
    options = chat.page.get_by_role("button", name="Options for Conversation 1", exact=True)
    chat.page.keyboard.press("Tab")
    expect(options).to_be_focused()
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    chat.page.keyboard.press("ArrowUp")
    expect(chat.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    chat.page.keyboard.press("Escape")
    expect(options).to_be_focused()


def test_on_a_phone_the_drawer_holds_the_list_and_closes_behind_a_choice(open_page: OpenPage, server: Host) -> None:
    chat = open_page(server, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True).open()
    sidebar = chat.page.locator("#sidebar")
    chat.page.locator("#open-sidebar").tap()
    chat.page.get_by_role("button", name=f"Options for {TITLES[1]}").tap()
    chat.page.get_by_role("menuitem", name="Delete").tap()
    expect(titles(chat)).to_have_count(3)
    chat.page.get_by_role("button", name="Undo").tap()
    expect(titles(chat)).to_have_count(4)
    chat.page.get_by_role("button", name=f"Options for {TITLES[1]}").tap()
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#chat-menu")).to_be_hidden()
    expect(sidebar).to_have_class("sidebar open")  # Escape closes one thing at a time
    link(chat, TITLES[2]).tap()
    expect(sidebar).to_have_class("sidebar")
    expect(chat.page).to_have_url(f"{server.url}#c2")
    chat.page.keyboard.press("Control+k")
    expect(chat.page.locator("#search-input")).to_be_focused()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}, id="narrow"),
    ],
)
def test_axe_finds_nothing_in_any_state_of_the_sidebar(
    open_page: OpenPage, server: Host, options: dict[str, object]
) -> None:
    server.say("wait", "c0")
    chat = open_page(server, reduced_motion="reduce", bypass_csp=True, **options)
    chat.page.add_init_script(path=AXE)
    chat.open(f"{server.url}#c1")
    if "viewport" in options:
        chat.page.locator("#open-sidebar").click()
    expect(titles(chat)).to_have_count(4)
    assert violations(chat.page) == [], "The list."
    row(chat, TITLES[0]).hover()
    chat.page.get_by_role("button", name=f"Options for {TITLES[0]}").click()
    expect(chat.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    assert violations(chat.page) == [], "A menu."
    chat.page.get_by_role("menuitem", name="Rename").click()
    assert violations(chat.page) == [], "Renaming."
    chat.page.keyboard.press("Escape")
    chat.page.keyboard.press("Delete")
    expect(toasts(chat)).to_have_count(1)
    assert violations(chat.page) == [], "A message with a way back."
    chat.page.locator("#search-input").fill("boat")
    expect(results(chat)).to_have_count(1)
    chat.page.keyboard.press("ArrowDown")
    assert violations(chat.page) == [], "A search."
    server.tell(SystemMessage(message="Conversations are not being saved. The disk is full.", state="history_off"))
    expect(chat.page.locator("#history-off")).to_be_visible()
    chat.page.locator("#search-input").fill("nothing of the kind")
    expect(chat.page.locator("#search-note")).to_be_visible()
    assert violations(chat.page) == [], "Nothing found, and nothing saved."
