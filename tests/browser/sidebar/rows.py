"""What the tests of the sidebar look at: its lines, its menus, and what the page asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from playwright.sync_api import Locator, Request, Route

from tests.browser.chat_page import ChatPage
from tests.browser.hosting import Host, Kept

DAY = 86_400.0
TITLES = ("Sorting a list", "Capital of France", "Names for a boat", "Letter to the landlord")
KEPT = [Kept(f"c{index}", title, age=60.0 * (index + 1), said=("Well?", "Well.")) for index, title in enumerate(TITLES)]

Hosting = Callable[[Sequence[Kept]], Host]


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


def results(chat: ChatPage) -> Locator:
    return chat.page.get_by_role("option")


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
