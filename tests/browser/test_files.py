"""Text files that go along with a message: by button, drop and paste, as chips, in the conversation, and refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.conftest import OpenPage
from tests.browser.servers import Server
from tests.browser.test_accessibility import AXE, violations

pytestmark = pytest.mark.browser

NOTES = "# Notes\n\n- one\n\n```py\nx = 1\n```"
NOT_TEXT = "is not a text file. Text, code and Markdown can be attached, in UTF-8 or UTF-16."


@pytest.fixture
def fresh(tab: ChatPage) -> ChatPage:
    """A new chat in the module's page, without what the test before left in the message box."""
    tab.page.evaluate("() => sessionStorage.clear()")
    tab.page.goto("about:blank")
    return tab.open()


def attach(chat: ChatPage, *files: tuple[str, bytes | str]) -> None:
    payloads: list[Any] = [
        {"name": name, "mimeType": "", "buffer": data.encode() if isinstance(data, str) else data}
        for name, data in files
    ]
    chat.page.locator("#attach-files").set_input_files(payloads)


def chips(chat: ChatPage) -> Locator:
    return chat.page.locator(".composer .file-chip")


def problem(chat: ChatPage) -> Locator:
    return chat.page.locator("#attach-problem")


def transfer(page: Page, files: dict[str, str], text: str = "") -> Any:
    """What a drop or a paste brings."""
    return page.evaluate_handle(
        """([files, text]) => {
            const data = new DataTransfer();
            for (const [name, content] of Object.entries(files)) data.items.add(new File([content], name));
            if (text) data.setData("text/plain", text);
            return data;
        }""",
        [files, text],
    )


def paste(chat: ChatPage, files: dict[str, str], text: str = "") -> bool:
    """Whether the page let the browser paste it."""
    data = transfer(chat.page, files, text)
    return bool(
        chat.input.evaluate(
            """(node, clipboardData) => {
                const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
                return node.dispatchEvent(event);
            }""",
            data,
        )
    )


# In the message


def parts_of(page: Page, messages: list[str]) -> list[dict[str, Any]]:
    return list(
        page.evaluate(
            "async (messages) => { const m = await import('/static/files.js'); return messages.map(m.partsOf); }",
            messages,
        )
    )


def test_words_and_files_come_out_as_they_went_in(idle_page: Page) -> None:
    choose = random.Random(5)
    scraps = [
        "`",
        "```",
        "````",
        "\n",
        "\n\n",
        "File: a.md\n```\nb\n```",
        "File: ",
        "x",
        "é🦙",
        " ",
        "```\n\nFile: c\n",
    ]
    cases = []
    for _ in range(300):
        files = [
            {"name": f"{number}.md", "text": "x" + "".join(choose.choices(scraps, k=choose.randrange(8)))}
            for number in range(choose.randrange(1, 4))
        ]
        words = "".join(
            choose.choices(["Look", "\n\n", "```\ncode\n```", "File: ", " "], k=choose.randrange(5))
        ).strip()
        cases.append({"words": words, "files": files})
    messages = idle_page.evaluate(
        """async (cases) => {
            const { withFiles } = await import("/static/files.js");
            return cases.map(({ words, files }) => withFiles(words, files));
        }""",
        cases,
    )
    assert parts_of(idle_page, messages) == cases


@pytest.mark.parametrize(
    "message",
    [
        "",
        "File: a.md",
        "File: a.md\n```\nnever closed",
        "File: a.md\n```\nx\n```\nand more words",
        "Look: File: a.md\n```\nx\n```",
        "```\nFile: a.md\n```",
    ],
)
def test_what_only_looks_like_a_file_is_words(idle_page: Page, message: str) -> None:
    assert parts_of(idle_page, [message]) == [{"words": message, "files": []}]


def test_many_beginnings_of_files_are_read_at_once(idle_page: Page) -> None:
    hostile = "\n\nFile: a\n```\n" * 2_400
    [parts] = parts_of(idle_page, [hostile[:32_000]])
    assert parts["files"] == []


# By which way they come


def test_files_are_chosen_sent_and_shown_closed_under_their_names(fresh: ChatPage) -> None:
    with fresh.page.expect_file_chooser() as chooser:
        fresh.page.get_by_role("button", name="Attach text files").click()
    assert chooser.value.is_multiple()
    attach(fresh, ("notes.md", NOTES), ("add.py", "def add(a, b):\n    return a + b\n"))
    expect(chips(fresh)).to_have_count(2)
    expect(chips(fresh).first).to_contain_text("notes.md")
    expect(chips(fresh).first).to_contain_text("≈ 8 tokens")
    answer = fresh.ask("What do these say?")
    expect(chips(fresh)).to_have_count(0)
    expect(fresh.users.last).to_have_text("What do these say?")
    for part in ("File: notes.md", "x = 1", "File: add.py", "return a + b"):
        assert part in answer, f"The model was not told {part!r}."
    said = fresh.user_messages.last.locator(".said-file")
    expect(said).to_have_count(2)
    expect(said.first.locator("pre")).to_have_count(0)
    said.first.locator("summary").focus()
    fresh.page.keyboard.press("Enter")
    expect(said.first.locator("code")).to_have_text(NOTES)
    fresh.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    said.first.get_by_role("button", name="Copy the code").click()
    expect(fresh.status).to_have_text("Copied.")
    assert fresh.page.evaluate("() => navigator.clipboard.readText()") == NOTES


def test_a_file_alone_is_a_message(fresh: ChatPage) -> None:
    attach(fresh, ("notes.md", NOTES))
    expect(fresh.page.locator("#send-button")).not_to_have_class("round send idle")
    fresh.input.press("Enter")
    fresh.wait_answered()
    expect(fresh.user_messages.last.locator(".said-file")).to_have_count(1)
    expect(fresh.users.last).to_be_hidden()


def test_files_are_dropped_on_the_conversation(fresh: ChatPage) -> None:
    main = fresh.page.locator("#main")
    data = transfer(fresh.page, {"notes.md": NOTES})
    fresh.page.locator("#scroller").dispatch_event("dragover", {"dataTransfer": data})
    expect(main).to_have_class("main dropping")
    fresh.page.locator("#sidebar").dispatch_event("dragover", {"dataTransfer": data})
    expect(main).to_have_class("main")
    fresh.page.locator("#scroller").dispatch_event("drop", {"dataTransfer": data})
    expect(chips(fresh)).to_have_count(1)
    expect(fresh.input).to_be_focused()


def test_files_and_long_texts_are_pasted_and_short_ones_are_text(fresh: ChatPage) -> None:
    assert paste(fresh, {}, "short"), "The browser pastes it."
    expect(chips(fresh)).to_have_count(0)
    assert not paste(fresh, {"notes.md": NOTES})
    expect(chips(fresh)).to_have_count(1)
    for _ in range(2):
        assert not paste(fresh, {}, "long " * 1000)
    expect(chips(fresh).locator(".file-name")).to_have_text(["notes.md", "Pasted text.txt", "Pasted text (2).txt"])


@pytest.mark.parametrize(
    "data",
    ["naïve 🦙\n".encode("utf-8-sig"), "naïve 🦙\n".encode("utf-16"), b"\xfe\xff" + "naïve 🦙\n".encode("utf-16-be")],
    ids=["UTF-8 with its mark", "UTF-16", "UTF-16 the other way round"],
)
def test_text_of_any_unicode_encoding_is_read(fresh: ChatPage, data: bytes) -> None:
    attach(fresh, ("a.txt", data))
    expect(chips(fresh)).to_have_count(1)
    assert "naïve 🦙" in fresh.ask("Look")


# Refused


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0", NOT_TEXT),
        ("old.txt", "caf\xe9".encode("latin-1"), NOT_TEXT),
        ("zeros.txt", b"a\0b", NOT_TEXT),
        ("empty.md", b" \n", "is empty."),
        ("long.txt", b"x" * 32_001, "it has 32,001 characters, and a message takes 32,000 in all."),
        ("huge.log", b"x" * 1_000_001, "is too large to go along with a message."),
    ],
)
def test_what_cannot_go_along_is_refused_with_a_sentence(fresh: ChatPage, name: str, data: bytes, words: str) -> None:
    attach(fresh, (name, data), ("good.txt", "good"))
    expect(problem(fresh)).to_contain_text(words)
    expect(problem(fresh)).to_contain_text(name)
    expect(chips(fresh).locator(".file-name")).to_have_text(["good.txt"])
    fresh.input.press_sequentially("a")
    expect(problem(fresh)).to_be_hidden()


def test_no_more_files_are_taken_than_a_message_holds(fresh: ChatPage) -> None:
    attach(fresh, *((f"{number}.txt", "x") for number in range(9)))
    expect(chips(fresh)).to_have_count(8)
    expect(problem(fresh)).to_have_text("8.txt was not attached: a message takes 8 files.")


def test_a_message_that_is_too_long_stays_where_it_is_written(fresh: ChatPage) -> None:
    attach(fresh, ("a.txt", "x" * 31_000))
    hint = fresh.page.locator("#length-hint")
    expect(hint).to_be_visible()
    fresh.say("y" * 1_100)
    expect(fresh.errors.last).to_contain_text("at most 32,000")
    expect(hint).to_have_class("length-hint figures over")
    expect(chips(fresh)).to_have_count(1)
    expect(fresh.input).not_to_have_value("")


def test_what_is_longer_than_a_frame_is_not_sent(fresh: ChatPage) -> None:
    """A frame counts bytes, of which most letters of the world take three: the server would end the connection."""
    attach(fresh, ("a.txt", "語" * 22_000))
    fresh.say("What is this?")
    expect(fresh.errors.last).to_contain_text("more bytes than can be sent at once")
    expect(chips(fresh)).to_have_count(1)


def test_a_name_cannot_pretend_to_be_another(fresh: ChatPage) -> None:
    attach(fresh, ("a\u202egnp.txt", "x"), (f"{'long' * 40}.md", "x"))
    names = chips(fresh).locator(".file-name").all_inner_texts()
    assert names[0] == "agnp.txt"
    assert len(names[1]) <= 80
    assert names[1].endswith("….md")


# Kept and changed


def test_a_draft_with_its_files_is_there_again_after_a_reload(chat: ChatPage) -> None:
    attach(chat, ("notes.md", NOTES))
    chat.input.fill("Look at this")
    chat.page.reload()
    chat.wait_connected()
    expect(chat.input).to_have_value("Look at this")
    expect(chips(chat).locator(".file-name")).to_have_text(["notes.md"])
    assert "x = 1" in chat.ask("Look at this")
    chat.page.reload()
    chat.wait_connected()
    expect(chips(chat)).to_have_count(0)
    expect(chat.user_messages.last.locator(".said-file")).to_have_count(1)


def test_files_are_taken_away_with_the_keyboard(fresh: ChatPage) -> None:
    attach(fresh, ("a.txt", "a"), ("b.txt", "b"), ("c.txt", "c"))
    expect(chips(fresh)).to_have_count(3)
    expect(fresh.input).to_be_focused()
    for _ in range(2):
        fresh.page.keyboard.press("Shift+Tab")
    for left, focused in ((2, "Remove c.txt"), (1, "Remove a.txt"), (0, "")):
        fresh.page.keyboard.press("Enter")
        expect(chips(fresh)).to_have_count(left)
        if focused:
            expect(fresh.page.get_by_role("button", name=focused)).to_be_focused()
    expect(fresh.input).to_be_focused()
    expect(fresh.status).to_have_text("a.txt is removed.")


def test_a_message_is_rewritten_with_its_files(fresh: ChatPage) -> None:
    attach(fresh, ("a.txt", "first file"), ("b.txt", "second file"))
    fresh.ask("Look")
    fresh.press(fresh.user_messages.last, "Edit your message")
    editor = fresh.user_messages.last.locator(".editor")
    expect(editor.get_by_role("textbox")).to_have_value("Look")
    editor.get_by_role("button", name="Remove a.txt").click()
    editor.get_by_role("textbox").fill("Look again")
    editor.get_by_role("button", name="Save and send").click()
    expect(fresh.users.last).to_have_text("Look again")
    fresh.wait_answered()
    expect(fresh.user_messages.last.locator(".said-file .file-name")).to_have_text(["b.txt"])
    text = fresh.last_answer.inner_text()
    assert "second file" in text
    assert "first file" not in text


def test_a_waiting_message_shows_its_files_too(fresh: ChatPage) -> None:
    fresh.say("wait")
    expect(fresh.page.locator(".message.typing")).to_be_visible()
    attach(fresh, ("a.txt", "a"))
    fresh.say("Look")
    expect(fresh.queued.locator(".said-file .file-name")).to_have_text(["a.txt"])
    fresh.stop_button.click()
    fresh.wait_answered()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="light"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}, id="narrow"),
    ],
)
def test_axe_finds_nothing_about_files_and_nothing_is_too_wide(
    open_page: OpenPage, scripted_server: Server, options: dict[str, object]
) -> None:
    chat = open_page(scripted_server, reduced_motion="reduce", bypass_csp=True, **options)
    chat.page.add_init_script(path=Path(AXE))
    chat.open()
    attach(chat, ("notes.md", NOTES), (f"{'x' * 90}.py", "y = 2  # " + "z" * 300), ("a.png", b"\0"))
    expect(chips(chat)).to_have_count(2)
    expect(problem(chat)).to_be_visible()
    assert violations(chat.page) == [], "Chips, and a file that was refused."
    chat.input.fill("Look")
    chat.page.locator("#send-button").click()
    chat.wait_answered()
    chat.user_messages.last.locator("summary").last.click()
    expect(chat.user_messages.last.locator(".hljs-comment")).to_be_visible()
    assert violations(chat.page) == [], "A file that is open."
    over = chat.page.locator("#scroller").evaluate("node => node.scrollWidth - node.clientWidth")
    assert over == 0, "It scrolls sideways."
