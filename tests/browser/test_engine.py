"""A busy engine as the page shows it: a real one that gives one answer at a time, to two other chats first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect
from websockets.sync.client import ClientConnection, connect

from tests.browser.conftest import OpenPage
from tests.browser.servers import Server
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.browser

ENDLESS = "And me?"  # at temperature 0 the tiny model never comes to an end of its answer


def ask(socket: ClientConnection, until: str) -> None:
    """Say something, and read until a frame has these words in it."""
    socket.send(json.dumps({"message": ENDLESS, "params": {"temperature": 0}}))
    while until not in str(socket.recv(timeout=20)):
        pass


def test_whoever_waits_for_the_engine_is_told_how_many_are_ahead(open_page: OpenPage, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "Tiny.Q4_1.gguf", context_length=16_384)
    endless = {"MAX_TOKENS": "16000", "KERNELS": "off"}  # half a minute for each answer
    files = {"MODEL_PATH": str(model), "MODEL_DIR": str(tmp_path)}
    server = Server(BACKENDS="pytorch", MAX_BATCH_SIZE="1", **files, **endless).start()
    address = server.url.replace("http", "ws") + "ws"
    try:
        with connect(address, max_queue=None) as first, connect(address, max_queue=None) as second:
            chat = open_page(server)
            chat.page.add_init_script('localStorage.setItem("switchboard.settings", \'{"temperature": 0}\')')
            chat.open()
            card, waiting = chat.page.locator("#engine-card"), chat.page.locator(".message.typing")
            expect(card).to_contain_text("Nothing is running", timeout=20_000)  # the model is loaded
            ask(first, '"delta"')
            ask(second, '"queued"')
            expect(card).to_contain_text("1 running, 1 waiting")
            chat.say(ENDLESS)
            expect(waiting).to_contain_text("Waiting for a free place: 1 answer ahead of yours")
            expect(card).to_contain_text("Waiting for a place")
            expect(card).to_contain_text("1 running, 2 waiting")
            first.send('{"type": "stop"}')
            expect(waiting).to_contain_text("Waiting for a free place: yours is next")
            second.send('{"type": "stop"}')
            expect(chat.answers).to_have_count(1)
            expect(card).to_contain_text("Answering")
            chat.stop_button.click()
            expect(card).to_contain_text("Nothing is running")
    finally:
        server.stop()
