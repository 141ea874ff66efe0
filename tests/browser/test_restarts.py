"""The server ends and comes back: the page goes on where it was, and nothing is said twice."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import SCRIPTED, Server

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that remembers."""
    server = Server(BACKENDS=SCRIPTED, DATABASE_URL=f"sqlite:///{tmp_path}/history.db", DRAIN_TIMEOUT_S="0.5").start()
    yield server
    server.stop()


def counted(to: int) -> str:
    return " ".join(str(number) for number in range(1, to + 1))


def test_a_killed_server_goes_on_with_the_answer_in_the_same_place(open_page: OpenPage, server: Server) -> None:
    chat = open_page(server).open()
    chat.ask("remember me")
    chat.say("count to 100")
    chat.say("after that")
    expect(chat.last_answer).to_contain_text("9 10")
    chat.press(chat.user_messages.first, "Edit your message")
    chat.page.keyboard.type(" half")
    card = chat.answers.last.element_handle()
    expect(chat.last_answer).to_contain_text("15 16")
    server.stop(signal.SIGKILL)
    expect(chat.connection).to_have_text("Disconnected")
    server.start()
    chat.page.evaluate("() => dispatchEvent(new Event('online'))")
    chat.wait_connected()
    expect(chat.answers.nth(1).locator(".body")).to_have_text(counted(100))
    expect(chat.last_answer).to_have_text("after that")
    assert card.evaluate("node => node.isConnected"), "The answer's card was never taken away."
    expect(chat.users).to_have_text(["remember me", "count to 100", "after that"])
    box = chat.user_messages.first.locator("textarea")
    expect(box).to_be_focused()
    expect(box).to_have_value("remember me half")
    told = chat.page.locator(".message.system:visible")
    expect(told).to_have_text(
        ["Connected to chat server. Model: Fluent", "The server was restarted. This conversation goes on."]
    )


def test_what_nobody_acknowledged_is_said_again_and_done_once(open_page: OpenPage, server: Server) -> None:
    chat = open_page(server)
    swallowing = True
    said: list[str] = []

    def pass_on(route: WebSocketRoute) -> None:
        upstream = route.connect_to_server()

        def down(message: str | bytes) -> None:
            if not (swallowing and json.loads(message)["type"] == "ack"):
                route.send(message)

        def up(message: str | bytes) -> None:
            said.append(json.loads(message).get("message", ""))
            upstream.send(message)

        upstream.on_message(down)
        route.on_message(up)

    chat.page.route_web_socket("**/ws*", pass_on)
    chat.open()
    chat.ask("once")
    chat.press(chat.answers.last, "Answer again")
    chat.wait_answered()
    server.stop(signal.SIGKILL)
    swallowing = False
    server.start()
    expect(chat.connection).to_have_text("Disconnected")
    chat.page.get_by_role("button", name="Try now").click()
    chat.wait_connected()
    assert chat.ask("twice") == "twice"
    assert said.count("once") == 2, "It was said again."
    expect(chat.users).to_have_text(["once", "twice"])
    expect(chat.user_messages.first.locator(".branches")).to_be_hidden()
    expect(chat.answers.first.locator(".branches .figures")).to_have_text("2/2")
    expect(chat.errors).to_have_count(0)


def test_a_server_that_is_told_to_restart_says_so_and_is_found_again(open_page: OpenPage, server: Server) -> None:
    chat = open_page(server).open()
    chat.say("count to 100")
    expect(chat.last_answer).to_contain_text("9 10")
    server.stop()
    told = chat.page.locator(".message.system:visible")
    expect(told.last).to_have_text("The server is restarting.")
    expect(chat.page.locator("#offline-text")).to_have_text("The server is restarting. Trying again…")
    server.start()
    chat.wait_connected()  # by itself
    expect(told).to_have_count(2)
    expect(told.last).to_have_text("The server was restarted. This conversation goes on.")
    expect(chat.last_answer).to_have_text(counted(100))


def test_news_of_one_matter_replace_each_other(fresh: ChatPage) -> None:
    fresh.ask("hello")
    told = fresh.page.locator(".message.system:visible:not(.greeting)")
    for state, words in (
        ("history_off", "The disk is full."),
        ("draining", "The server is restarting."),
        ("history_off", "The disk is still full."),
        ("history_on", "Conversations are kept again."),
    ):
        fresh.page.evaluate(
            """async (frame) => {
                const { handleMessage } = await import("/static/script.js");
                handleMessage({ type: "system", ...frame });
            }""",
            {"state": state, "message": words},
        )
        expect(told.last).to_have_text(words)
    expect(told).to_have_text(["The server is restarting.", "Conversations are kept again."])


def test_every_chat_has_a_draft_of_its_own(fresh: ChatPage) -> None:
    fresh.ask("the first")
    first = fresh.page.url
    fresh.input.fill("for the first")
    fresh.page.keyboard.press("Control+Shift+O")
    expect(fresh.input).to_have_value("")
    fresh.input.fill("for a new one")
    fresh.page.goto(first)
    expect(fresh.input).to_have_value("for the first")
    fresh.page.reload()
    expect(fresh.input).to_have_value("for the first")
    fresh.wait_connected()
    fresh.page.keyboard.press("Control+Shift+O")
    expect(fresh.input).to_have_value("for a new one")
