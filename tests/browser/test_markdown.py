"""What a model writes cannot run, reach out, or look like the page itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat_page import ChatPage
from tests.browser.hostile_payloads import PAYLOADS

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
