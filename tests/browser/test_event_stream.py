"""An EventSource in a real browser: it comes back by itself after a cut, and ends with the server's text."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser
from websockets.sync.client import connect

from tests.browser.servers import CuttingProxy, Server

pytestmark = pytest.mark.browser

FOLLOW = """
session => {
    window.texts = {}; window.completed = []; window.opened = 0;
    const source = new EventSource(`/api/stream/${session}`);
    source.onopen = () => { window.opened += 1; };
    source.addEventListener('message', event => {
        const [id, ...rest] = event.data.split('|');
        window.texts[id] = (window.texts[id] ?? '') + rest.join('|');
    });
    source.addEventListener('complete', event => { window.completed.push(event.data); });
}
"""


def test_an_event_source_that_is_cut_off_twice_ends_with_the_whole_text(
    browser: Browser, scripted_server: Server, proxy: CuttingProxy
) -> None:
    context = browser.new_context(bypass_csp=True)  # for the waiting below, which evaluates what it waits for
    page = context.new_page()
    with connect(f"ws://127.0.0.1:{scripted_server.port}/ws") as socket:
        hello = json.loads(socket.recv())
        page.goto(f"{proxy.url}health/live")
        page.evaluate(FOLLOW, hello["session"])
        page.wait_for_function("window.opened === 1")
        socket.send(json.dumps({"message": "count to 120"}))
        for numbers, opened in ((10, 2), (70, 3)):
            page.wait_for_function(f"Object.values(window.texts).join('').includes(' {numbers} ')")
            proxy.cut()
            page.wait_for_function(f"window.opened === {opened}")
        while (message := json.loads(socket.recv()))["type"] != "ai":
            pass
    page.wait_for_function("window.completed.length > 0")
    assert page.evaluate("window.texts") == {message["id"]: message["message"]}
    assert page.evaluate("window.completed") == [message["id"]]
    context.close()
