"""One answer on the screen, while it is written and when it is done.

What has been printed stays: finished blocks of Markdown as they end, and in plain form every piece as it comes. What
may still change is drawn below. A server that was killed may go on from a little before the place where the print ends;
then nothing is printed twice, as long as it says the same again. Knows nothing of sockets.
"""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.text import Text

from terminal.characters import escape, one_line
from terminal.conversation import Message
from terminal.markdown import Block, is_item, split
from terminal.screen import Screen

REDRAW_EVERY_S = 0.08
MOST_EFFORT = 0.1  # of the time, for drawing what may still change
ANEW = "(The server could not go on from here. The answer once more, as it has it:)"
SHORTER = "(The end of what is printed above was lost with the server; the conversation is without it.)"


class Answer:
    """Shows `message`: call `show` whenever there is more of it, and `close` when it has ended.

    `printed`: the part of it that is on the screen already.
    """

    def __init__(self, screen: Screen, message: Message, printed: str = "") -> None:
        self.id = message.id
        self._screen = screen
        self._printed = printed
        self._thought = bool(printed)  # whether the reasoning is printed
        self._above_is_item = False  # of a list
        self._due = 0.0  # when it may be drawn again, on the monotonic clock

    def show(self, message: Message, status: str = "") -> None:
        """Print what is new and finished; draw the rest, and `status` below it, unless that was just done."""
        now = time.monotonic()
        if self._screen.plain:
            self._print_plainly(message)
        elif now >= self._due:
            self._draw(message, status)
            effort = time.monotonic() - now
            self._due = now + max(REDRAW_EVERY_S, effort / MOST_EFFORT)

    def close(self, message: Message) -> None:
        """Print all that is left, and how it ended."""
        if self._screen.plain:
            self._print_plainly(message)
            if not self._printed.endswith("\n"):
                self._screen.write("\n")
        else:
            blocks, rest = split(self._fresh(message))
            self._screen.draw([*self._thoughts(message), *self._formatted([*blocks, rest])], ())
        if len(self._printed) > message.content.length and self._fresh(message) == "":
            self._screen.note(SHORTER)
        if message.error is not None:
            self._screen.note(one_line(message.error.message), "red")
        elif ending := figures(message):
            self._screen.note(ending)

    def _print_plainly(self, message: Message) -> None:
        if fresh := self._fresh(message):
            self._screen.write(escape(fresh))
            self._printed += fresh

    def _draw(self, message: Message, status: str) -> None:
        blocks, rest = split(self._fresh(message))
        begun = bool(blocks or rest.strip())
        finished = [*(self._thoughts(message) if begun else ()), *self._formatted(blocks)]
        self._printed += "".join(blocks)
        growing: list[RenderableType] = [self._block(rest)] if rest.strip() else []
        if not self._thought and message.reasoning.length:
            growing.append(_thinking(message))
        growing.append(status_line(status))
        self._screen.draw(finished, growing)

    def _thoughts(self, message: Message) -> list[RenderableType]:
        """The reasoning, the first time that it is asked for."""
        if self._thought or not message.reasoning.length:
            return []
        self._thought = True
        return ["", _thinking(message)]

    def _formatted(self, blocks: list[str]) -> list[RenderableType]:
        found: list[RenderableType] = []
        for block in blocks:
            if block.strip():
                found.append(self._block(block))
                self._above_is_item = is_item(block)
        return found

    def _block(self, text: str) -> Block:
        """One blank line between blocks, none between the items of a list."""
        return Block(text, gap=not (self._above_is_item and is_item(text)))

    def _fresh(self, message: Message) -> str:
        """What follows the part that is printed."""
        text = str(message.content)
        if text.startswith(self._printed):
            return text[len(self._printed) :]
        if self._printed.startswith(text):
            return ""  # it goes on from before, and is not there again yet
        self._screen.note(ANEW)
        self._printed, self._above_is_item = "", False
        return text


def status_line(status: str) -> Text:
    """What goes on, in a line that is never wrapped."""
    return Text(one_line(status), style="dim", no_wrap=True, overflow="ellipsis")


def figures(message: Message) -> str:
    """How an answer ended, in a line of numbers."""
    parts = []
    if message.usage is not None and message.usage.completion_tokens:
        count = message.usage.completion_tokens
        parts.append(f"{count} token{'s' if count != 1 else ''}")
    if message.timings is not None and message.timings.tokens_per_second:
        parts.append(f"{message.timings.tokens_per_second:.1f} tok/s")
    if message.timings is not None and message.timings.ttft_ms is not None:
        parts.append(f"first after {message.timings.ttft_ms / 1000:.2f} s")
    reason = {
        "length": "cut at its longest, /continue goes on",
        "cancelled": "stopped, /continue goes on",
        "abandoned": "stopped, since nobody watched",
        "interrupted": "cut off as the server went down, /continue goes on",
    }.get(message.finish_reason or "")
    return " · ".join([*parts, *([reason] if reason else [])])


def _thinking(message: Message) -> RenderableType:
    lines = str(message.reasoning).strip().split("\n")
    return Group(*(Text(f"│ {escape(line)}", style="dim italic") for line in lines))
