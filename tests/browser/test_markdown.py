"""What a model writes cannot run, reach out, or look like the page itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.hostile_payloads import PAYLOADS
from tests.browser.servers import Server

pytestmark = pytest.mark.browser

AT_ONCE = 15  # messages said in a row; more would be refused as a flood

WATCH = """() => {
    window.trouble = [];
    window.ran = () => trouble.push("a script ran");
    const allowed = new Set(("ARTICLE DIV SPAN P BR HR H1 H2 H3 H4 H5 H6 UL OL LI BLOCKQUOTE STRONG EM S CODE PRE A " +
        "TABLE THEAD TBODY TR TH TD FIGURE FIGCAPTION BUTTON SVG USE I DETAILS SUMMARY").split(" "));
    const check = (node) => {
        if (node.nodeType !== Node.ELEMENT_NODE) return;
        if (!allowed.has(node.tagName.toUpperCase())) trouble.push(`there is a ${node.tagName}`);
        for (const { name, value } of node.attributes) {
            if (/^(on|style$|src)/.test(name)) trouble.push(`attribute ${name}`);
            if (name === "href" && !/^(https?:\\/\\/|mailto:|#icon-)/i.test(value)) trouble.push(`link to ${value}`);
            if (name === "id" || name === "name") trouble.push(`it is named ${value}`);
        }
        if (node.tagName === "A" && (node.rel !== "noopener noreferrer nofollow" || node.target !== "_blank"))
            trouble.push(`the link ${node.outerHTML} is not apart`);
        node.childNodes.forEach(check);
    };
    window.checkMessages = () => document.querySelectorAll("#messages > *").forEach(check);
    const start = () => {
        const log = document.getElementById("messages");
        new MutationObserver((records) => records.forEach((record) => record.addedNodes.forEach(check)))
            .observe(log, { subtree: true, childList: true });
        new MutationObserver((records) => records.forEach((record) => check(record.target)))
            .observe(log, { subtree: true, attributes: true });
    };
    document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start();
}"""


def trouble(page: Page) -> list[str]:
    page.evaluate("() => checkMessages()")
    found: list[str] = page.evaluate("() => trouble")
    return found


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(set(PAYLOADS)) >= 150


@pytest.mark.parametrize("part", range(4))
def test_hostile_answers_harm_nobody_while_written_afterwards_and_reloaded(chat: ChatPage, part: int) -> None:
    chat.page.add_init_script(f"({WATCH})()")
    chat.page.reload()
    chat.wait_connected()
    payloads = PAYLOADS[part::4]
    for number, payload in enumerate(payloads, start=1):
        chat.page.evaluate(
            """async (text) => {
                const { messageInput, sendMessage } = await import("/static/script.js");
                messageInput.value = text;
                sendMessage();
            }""",
            payload,
        )
        if number % AT_ONCE == 0 or number == len(payloads):
            expect(chat.answers).to_have_count(number, timeout=15_000)
            chat.wait_answered()
    expect(chat.answers).to_have_count(len(payloads))
    assert trouble(chat.page) == [], "While the answers were written, or when they stood."
    chat.page.reload()
    expect(chat.answers).to_have_count(len(payloads))
    expect(chat.page.locator(".answer-buttons")).to_have_count(len(payloads))
    assert trouble(chat.page) == [], "After a reload."
    # `chat` also fails for any request that left the origin and any violation of the security policy.


def test_a_picture_becomes_a_link_that_shows_its_host(chat: ChatPage) -> None:
    chat.ask("Look: ![a cat](https://pictures.example/cat.png?q=secret)")
    link = chat.last_answer.get_by_role("link")
    expect(link).to_have_text("a cat (pictures.example)")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(link).to_have_attribute("target", "_blank")
    expect(chat.last_answer.locator("img")).to_have_count(0)


def test_markup_is_shown_as_it_was_written(chat: ChatPage) -> None:
    assert chat.ask("Use <b>bold</b> & <i>so</i> on.") == "Use <b>bold</b> & <i>so</i> on."


def test_a_string_cannot_become_markup_without_passing_the_sanitizer(chat: ChatPage) -> None:
    told = chat.page.evaluate(
        """() => {
            try { document.createElement("div").innerHTML = "<b>x</b>"; return "accepted"; }
            catch (error) { return error.name; }
        }"""
    )
    assert told == "TypeError"
    chat.faults.clear()  # the violation just made on purpose


@pytest.fixture(scope="module")
def idle_page(browser: Browser, scripted_server: Server) -> Iterator[Page]:
    """A page whose modules are used without its conversation."""
    context = browser.new_context()
    yield ChatPage(context, scripted_server.url).open().page
    context.close()


DOCUMENT = """# Heading

A paragraph with **bold**, *italics*, `code` and a [link](https://example.org/a).
Its second line.

1. one

2. two
   - nested
   - again

3. three

| a | b |
|---|--:|
| 1 | 2 |
| 3 | 4 |

> a quotation
> goes on

```python
def add(a, b):

    return a + b
```

Setext
------

- [ ] a task
- an item with `code`

~~~
tildes ``` inside
~~~

[ref]: https://example.org/ref

See [ref] and https://example.org/bare. Last line, 語 😀.
"""


def test_text_in_pieces_becomes_what_the_whole_text_becomes(idle_page: Page) -> None:
    same = """async ([text, size]) => {
        const { MarkdownView } = await import("/static/view/markdown_view.js");
        const plainly = (node) => node.innerHTML.replace(/<span class="piece">([^<]*)<\\/span>/g, "$1")
            .replace(/<span class="hljs-[^"]*">|<\\/span>/g, "").replace(/\\n+</g, "<").trim();
        const whole = document.createElement("div"), grown = document.createElement("div");
        const wholeView = new MarkdownView(whole), grownView = new MarkdownView(grown);
        wholeView.update(text, true);
        while (!wholeView.work(Infinity));
        for (let end = size; end < text.length; end += size) {
            grownView.update(text.slice(0, end), false);
            grownView.work(Infinity);
        }
        grownView.update(text, true);
        while (!grownView.work(Infinity));
        const { renderMarkdown } = await import("/static/markdown.js");
        const direct = document.createElement("div");
        direct.append(renderMarkdown(text));
        return [plainly(whole), plainly(grown), direct.textContent.replace(/\\s+/g, " "), whole.innerText];
    }"""
    for size in (1, 2, 3, 7, 40):
        whole, grown, direct, _ = idle_page.evaluate(same, [DOCUMENT, size])
        assert grown == whole, f"In pieces of {size}."
        assert "return a + b" in direct


def test_finished_blocks_are_never_drawn_again(idle_page: Page) -> None:
    kept = idle_page.evaluate(
        """async () => {
            const { MarkdownView } = await import("/static/view/markdown_view.js");
            const box = document.createElement("div");
            const view = new MarkdownView(box);
            view.update("First paragraph.\\n\\nSecond", false);
            view.work(Infinity);
            const first = box.firstChild;
            view.update("First paragraph.\\n\\nSecond paragraph.\\n\\nThird", false);
            view.work(Infinity);
            view.update("First paragraph.\\n\\nSecond paragraph.\\n\\nThird.", true);
            view.work(Infinity);
            return box.firstChild === first && box.querySelectorAll("p").length === 3;
        }"""
    )
    assert kept


FLOODS = ("*", "[", "`", "> ", "[a](", "**a ", "* a\n  ", "| a | b |\n", "_a ", "<", "~~~\nx\n", "1. ", "a\n\n")
LONGEST_FRAME = """async (flood) => {
    const { MarkdownView } = await import("/static/view/markdown_view.js");
    const box = document.createElement("div");
    box.className = "markdown";
    document.getElementById("messages").append(box);
    const view = new MarkdownView(box);
    const text = flood.repeat(Math.ceil(1_000_000 / flood.length));
    const frame = () => new Promise(requestAnimationFrame);
    let longest = 0;
    for (let part = 1; part <= 20; part += 1) {
        view.update(text.slice(0, (text.length * part) / 20), part === 20);
        for (let drawn = false; !drawn; ) {
            await frame();
            const began = performance.now();
            drawn = view.work(began + 8);
            box.getBoundingClientRect();
            longest = Math.max(longest, performance.now() - began);
        }
    }
    box.remove();
    return longest;
}"""


@pytest.mark.parametrize("flood", FLOODS)
def test_a_megabyte_of_markdown_never_holds_up_the_page(idle_page: Page, flood: str) -> None:
    """The best of three, for other programs may hold up the page as well."""
    frames: list[float] = []
    while not frames or (min(frames) >= 100 and len(frames) < 3):
        frames.append(idle_page.evaluate(LONGEST_FRAME, flood))
    assert min(frames) < 100, f"The longest frame took {min(frames):.0f} ms."


def test_a_flood_from_the_server_is_shown_to_its_end(chat: ChatPage) -> None:
    chat.page.locator("#settings-button").click()
    chat.page.get_by_label("Longest answer").press("End")
    chat.page.keyboard.press("Escape")
    chat.say("flood [a](")
    chat.wait_answered()
    expect(chat.answers.last.locator(".answer-footer")).to_contain_text("64 tokens")
    length = chat.last_answer.evaluate("node => node.textContent.length")
    assert length == 64 * 16_384


MANY = """async (count) => {
    const { handleMessage, store } = await import("/static/script.js");
    const { session, epoch } = store;
    const messages = [];
    for (let n = 0; n < count; n += 2) {
        const before = n ? `m${n - 1}` : null;
        messages.push({ id: `m${n}`, parent_id: before, role: "user", message: `Question ${n}`, selected: true });
        messages.push({ id: `m${n + 1}`, parent_id: `m${n}`, role: "ai", finish_reason: "stop", selected: true,
            message: `Answer **${n}** with a list:\\n\\n- one\\n- two\\n\\n~~~python\\nprint(${n})\\n~~~\\n` });
    }
    const longest = { task: 0 };
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) longest.task = Math.max(longest.task, entry.duration);
    }).observe({ type: "longtask" });
    handleMessage({ type: "snapshot", session, epoch, seq: 1, messages, running: [], queue: [] });
    const scroller = document.getElementById("scroller");
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    await frame();
    const shown = longest.task;
    longest.task = 0;
    const frames = [];
    const step = scroller.scrollHeight / 60;
    while (scroller.scrollTop > 0) {
        const began = performance.now();
        scroller.scrollTop -= step;
        await frame();
        frames.push(performance.now() - began);
    }
    frames.sort((a, b) => a - b);
    return { shown, frames: frames.length, median: frames[frames.length >> 1] };
}"""


def test_two_thousand_messages_scroll_without_a_stutter(chat: ChatPage) -> None:
    figures = chat.page.evaluate(MANY, 2_000)
    assert figures["frames"] >= 50, "The whole conversation was scrolled through."
    assert figures["median"] < 200, f"Half of the frames took more than {figures['median']:.0f} ms."
    expect(chat.answers).to_have_count(1_000)
    expect(chat.answers.first.locator(".code-block")).to_have_count(1)
