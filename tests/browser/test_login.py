"""Logging in on a server that asks for a key, being sent away, coming back, and logging out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import SCRIPTED, Server
from tests.browser.test_accessibility import AXE, violations
from tests.server.access.keys_for_tests import add_key, id_of, remove_key

pytestmark = pytest.mark.browser

COUNTED = " ".join(str(number) for number in range(1, 121))


@dataclass(frozen=True)
class Guarded:
    """A server that asks for keys, and where they are."""

    server: Server
    keys: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    add_key(folder / "keys.json")  # without any the server does not start
    settings = {"AUTH": "on", "KEYS_FILE": str(folder / "keys.json"), "DATABASE_URL": f"sqlite:///{folder}/chats.db"}
    server = Server(BACKENDS=SCRIPTED, **settings).start()
    yield Guarded(server, folder / "keys.json")
    server.stop()


def login_of(chat: ChatPage) -> Locator:
    return chat.page.get_by_role("dialog", name="Log in to Switchboard")


def log_in(chat: ChatPage, key: str) -> None:
    chat.page.get_by_label("Your key").fill(key)
    login_of(chat).get_by_role("button", name="Log in").click()


def log_out(chat: ChatPage) -> None:
    chat.page.get_by_role("button", name="More").click()
    chat.page.get_by_role("button", name="Log out").click()


def enter(chat: ChatPage, key: str) -> ChatPage:
    """Come to the page and log in."""
    chat.page.goto(chat.url)
    log_in(chat, key)
    chat.wait_connected()
    return chat


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}, id="narrow"),
    ],
)
def test_the_page_asks_for_a_key_says_when_it_is_wrong_and_lets_in_with_a_right_one(
    open_page: OpenPage, guarded: Guarded, options: dict[str, Any]
) -> None:
    chat = open_page(guarded.server, bypass_csp=True, **options)
    chat.page.add_init_script(path=AXE)
    chat.page.goto(chat.url)
    field = chat.page.get_by_label("Your key")
    expect(field).to_be_focused()
    assert violations(chat.page) == [], "The log-in."
    field.fill("sb-wrong")
    field.press("Enter")
    expect(login_of(chat).get_by_role("alert")).to_have_text("That key is not known here, or it has run out.")
    assert violations(chat.page) == [], "The log-in with its error."
    assert chat.page.evaluate("() => document.getElementById('login').scrollWidth <= innerWidth"), "It fits the screen."
    chat.page.keyboard.press("Escape")
    chat.page.keyboard.press("Escape")
    expect(login_of(chat)).to_be_visible()
    log_in(chat, add_key(guarded.keys))
    chat.wait_connected()
    expect(login_of(chat)).to_be_hidden()
    chat.input.fill("hello")
    chat.page.locator("#send-button").click()  # a touch keyboard's Enter is a new line
    expect(chat.last_answer).to_have_text("hello")
    chat.page.reload()
    chat.wait_connected()
    expect(chat.last_answer).to_have_text("hello")


def test_whoever_is_sent_away_in_mid_answer_goes_on_after_the_log_in(open_page: OpenPage, guarded: Guarded) -> None:
    key = add_key(guarded.keys)
    chat = enter(open_page(guarded.server), key)
    chat.say("count to 120")
    chat.say("and then this")
    chat.input.fill("a draft")
    expect(chat.queued).to_have_count(1)
    remove_key(guarded.keys, key)
    expect(login_of(chat)).to_be_visible()
    log_in(chat, add_key(guarded.keys, owner=id_of(key)))
    chat.wait_connected()
    expect(chat.users).to_have_text(["count to 120", "and then this"])
    chat.wait_answered()
    expect(chat.answers.first.locator(".body")).to_have_text(COUNTED)
    expect(chat.last_answer).to_have_text("and then this")
    expect(chat.input).to_have_value("a draft")


def test_what_was_said_while_the_log_in_was_lost_is_said_after_it(open_page: OpenPage, guarded: Guarded) -> None:
    key = add_key(guarded.keys)
    chat = enter(open_page(guarded.server), key)
    chat.page.evaluate(
        """async () => {
            const { ws } = await import("/static/script.js");
            ws.send = () => {}; // the network swallows it
        }"""
    )
    chat.say("into the dark")
    remove_key(guarded.keys, key)
    expect(login_of(chat)).to_be_visible()
    log_in(chat, add_key(guarded.keys, owner=id_of(key)))
    expect(chat.last_answer).to_have_text("into the dark")
    expect(chat.users).to_have_text(["into the dark"])


def test_logging_out_leaves_nothing_to_read_in_any_tab(open_page: OpenPage, guarded: Guarded) -> None:
    key = add_key(guarded.keys, "Ann's laptop")
    chat = enter(open_page(guarded.server), key)
    chat.ask("a secret")
    chat.input.fill("another one")
    other = open_page(guarded.server, beside=chat).open(chat.page.url)
    expect(other.last_answer).to_have_text("a secret")
    log_out(chat)
    for tab in (chat, other):
        expect(login_of(tab)).to_be_visible()
    expect(chat.page.get_by_text("a secret")).to_have_count(0)
    assert chat.page.url == guarded.server.url
    log_in(chat, add_key(guarded.keys, "Somebody else"))
    chat.wait_connected()
    expect(chat.page.locator("#no-chats")).to_be_visible()
    expect(chat.input).to_have_value("")


def test_another_person_in_the_same_tab_finds_nothing_of_the_one_before(open_page: OpenPage, guarded: Guarded) -> None:
    key = add_key(guarded.keys)
    chat = enter(open_page(guarded.server), key)
    chat.ask("a secret")
    chat.input.fill("another one")
    remove_key(guarded.keys, key)
    log_in(chat, add_key(guarded.keys, "Somebody else"))
    chat.wait_connected()
    expect(chat.page.get_by_text("a secret")).to_have_count(0)
    expect(chat.input).to_have_value("")
    assert chat.page.url == guarded.server.url


def test_another_tab_that_logs_in_takes_this_one_along(open_page: OpenPage, guarded: Guarded) -> None:
    chat = open_page(guarded.server)
    chat.page.goto(chat.url)
    expect(login_of(chat)).to_be_visible()
    enter(open_page(guarded.server, beside=chat), add_key(guarded.keys))
    chat.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    chat.wait_connected()
    expect(login_of(chat)).to_be_hidden()


def test_the_menu_offers_to_log_out_only_where_there_is_a_log_in(
    open_page: OpenPage, guarded: Guarded, scripted_server: Server
) -> None:
    open_ = open_page(scripted_server).open()
    open_.page.get_by_role("button", name="More").click()
    expect(open_.page.locator("#log-out")).to_be_hidden()
    chat = enter(open_page(guarded.server), add_key(guarded.keys, "Ann's laptop"))
    chat.page.get_by_role("button", name="More").click()
    expect(chat.page.get_by_role("button", name="Log out")).to_contain_text("Ann's laptop")
