"""Ten thousand conversations; the keyboard, small screens and screen readers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from server.protocol import SystemMessage
from tests.browser.conftest import OpenPage
from tests.browser.hosting import Host, Kept
from tests.browser.sidebar.rows import (
    TITLES,
    Hosting,
    link,
    results,
    row,
    titles,
    toasts,
)
from tests.browser.test_accessibility import AXE, violations
from tests.browser.traces import Traced

pytestmark = pytest.mark.browser


# Ten thousand


def test_ten_thousand_conversations_are_scrolled_through_without_a_stutter(
    open_page: OpenPage, hosting: Hosting
) -> None:
    server = hosting([Kept(f"c{index:05}", f"Conversation {index}", age=index * 3_600.0) for index in range(10_000)])
    chat = open_page(server, viewport={"width": 1280, "height": 800}).open()
    expect(titles(chat).first).to_have_text("Conversation 0")
    page = chat.page
    with Traced(page) as traced:
        figures = page.evaluate(SCROLL_TO, ["Conversation 9999", 2_000])
    longest = max(traced.tasks_ms)
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


def test_what_comes_above_does_not_move_what_is_looked_at(open_page: OpenPage, hosting: Hosting) -> None:
    """They are days old, for at midnight those of today would become two groups."""
    age = 10 * 24 * 3600.0
    server = hosting([Kept(f"c{index:03}", f"Conversation {index}", age=age + 60 * index) for index in range(90)])
    chat = open_page(server).open()
    expect(titles(chat).first).to_be_visible()
    chat.page.locator("#chat-scroller").evaluate("node => (node.scrollTop = 1500)")
    seen = row(chat, "Conversation 45")
    expect(seen).to_be_visible()
    before = seen.bounding_box()
    server.say("hello")
    server.say("hello", "c010")
    server.ask("DELETE", "sessions/c020")
    server.ask("DELETE", "sessions/c021")
    expect(seen).to_have_attribute("aria-setsize", "87")
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
