"""Markdown that somebody else wrote, as lines for the terminal: it sets no links and shows every address.

Also finds out which parts of a text that still grows are complete: all blocks but the last, for what comes later can
only go on with that one. Of a list, all items but the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment

from terminal.characters import escape, one_line

# Raw HTML is text here; rich would leave it out.
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # Markdown knows no other ends of lines
LISTS = ("bullet_list_open", "ordered_list_open")


def render(text: str) -> Markdown:
    """The text, formatted. Whatever a terminal would act on is shown instead, entities like `&#x202E;` included."""
    shown = Markdown("", hyperlinks=False, code_theme="ansi_dark")
    shown.parsed = list(_harmless(PARSER.parse(text)))
    return shown


def split(text: str) -> tuple[list[str], str]:
    """The blocks of `text` that are complete, and the rest, which may still grow. Joined, they are `text`."""
    lines = LINE.findall(text)
    starts = [start for start in _starts(PARSER.parse(text)) if 0 < start < len(lines)]
    blocks, before = [], 0
    for start in starts:
        blocks.append("".join(lines[before:start]))
        before = start
    return blocks, "".join(lines[before:])


def is_item(block: str) -> bool:
    """Whether the block is of a list, so that it stands close to its neighbours."""
    tokens = PARSER.parse(block)
    return bool(tokens) and tokens[0].type in LISTS


class Block:
    """A block of Markdown as lines, without the blank ones around it; with `gap`, one blank line above."""

    def __init__(self, text: str, *, gap: bool) -> None:
        self._markdown = render(text)
        self._gap = gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._markdown, options, pad=False)
        inked = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
        if self._gap and inked:
            yield Segment.line()
        for line in lines[inked[0] : inked[-1] + 1] if inked else ():
            yield from line
            yield Segment.line()


def _starts(tokens: Iterable[Token]) -> Iterator[int]:
    """The lines on which blocks begin, in the order of the text."""
    for token in tokens:
        item = token.level == 1 and token.type == "list_item_open"
        block = token.level == 0 and token.nesting >= 0 and token.type not in LISTS
        if token.map and (item or block):
            yield token.map[0]


def _harmless(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.children is not None:
            token.children = list(_without_links(token.children))
        token.content = escape(token.content)
        token.info = one_line(token.info)
        yield token


def _without_links(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens of a line of text, each link as its text and its address where that is another."""
    address, text = "", ""
    for token in tokens:
        if token.type == "link_open":
            address, text = str(token.attrs.get("href", "")), ""
        elif token.type == "link_close":
            if address not in (text, f"mailto:{text}"):
                yield _text(f" ({address})")
        elif token.type == "image":
            yield _text(f"[image: {token.content}] ({token.attrs.get('src', '')})")
        else:
            token.content = escape(token.content)
            text += token.content
            yield token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=escape(content))
