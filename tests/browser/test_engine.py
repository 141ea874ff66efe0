"""A busy engine as the page shows it: a real one that answers one chat at a time, and three chats."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.servers import Server
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.browser


def test_whoever_waits_for_the_engine_is_told_how_many_are_ahead(open_page: OpenPage, tmp_path: Path) -> None:
    endless = {"context_length": 16_384}
    model = write_tiny_model(tmp_path / "Tiny.Q4_1.gguf", **endless)
    server = Server(
        BACKENDS="pytorch", MODEL_PATH=str(model), MODEL_DIR=str(tmp_path), MAX_BATCH_SIZE="1", MAX_TOKENS="16000"
    ).start()
    try:
        first, second, third = (open_page(server).open() for _ in range(3))
        expect(third.page.locator("#engine-card")).to_contain_text("Nothing is running")
        first.say("one")
        expect(first.answers).to_have_count(1)
        second.say("two")
        expect(second.page.locator(".message.typing")).to_contain_text("Waiting for a free place: yours is next")
        third.say("three")
        waiting = third.page.locator(".message.typing")
        expect(waiting).to_contain_text("Waiting for a free place: 1 answer ahead of yours")
        expect(third.page.locator("#engine-card")).to_contain_text("Waiting for a place")
        expect(third.page.locator("#engine-card")).to_contain_text("1 running, 2 waiting")
        first.stop_button.click()
        expect(second.answers).to_have_count(1)
        expect(waiting).to_contain_text("Waiting for a free place: yours is next")
        second.stop_button.click()
        expect(third.answers).to_have_count(1)
        third.stop_button.click()
        expect(third.page.locator("#engine-card")).to_contain_text("Nothing is running")
    finally:
        server.stop()
