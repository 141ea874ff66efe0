"""The terminal's paper: lines that are printed once and stay, and below them a few that change until they do.

The changing lines are drawn over in one write each time, so nothing flickers, and never reach the top of the window, so
they can always be taken back. While a person types, printed lines appear above what is typed. Knows nothing of chats.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from prompt_toolkit.application import get_app_or_none
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment, Segments
from rich.text import Text

from terminal.characters import escape

BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"  # a synchronized update; terminals that do not know it ignore it
Line = list[Segment]
ROOM_ABOVE = 3  # lines of the window that changing lines leave free


def console_for_people(*, stderr: bool = False) -> Console:
    """A console that takes no text for markup."""
    return Console(highlight=False, markup=False, emoji=False, stderr=stderr)


class Screen:
    """`plain`: nothing is ever drawn over, and nothing is coloured."""

    def __init__(self, console: Console, *, plain: bool) -> None:
        self.console = console
        self.plain = plain
        self._within_line = False
        self._rows: list[int] = []  # the widths of the changing lines that stand on the screen, in cells

    @property
    def typing(self) -> bool:
        """Whether a person is being asked."""
        return get_app_or_none() is not None

    def print(self, *renderables: RenderableType) -> None:
        """Print for good."""
        self.draw(renderables, ())

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line of ours, which may quote others. In plain form it is no part of the text: standard error."""
        if self.plain:
            self._run(lambda: self._note_plainly(text))
        else:
            self.print(Text(escape(text), style=style))

    def write(self, text: str) -> None:
        """Write plain text as it is, without a line end of its own. What is in it must be harmless."""
        self._run(lambda: self._put(text))

    def _run(self, write: Callable[[], None]) -> None:
        """Write; above the prompt, if there is one. The keyboard stays the prompt's, so no key is lost."""
        prompt = get_app_or_none()
        if prompt is None or not prompt.is_running:
            write()
            return
        prompt.renderer.erase()
        write()
        prompt.renderer.reset()
        prompt.renderer.request_absolute_cursor_position()
        prompt.invalidate()

    def _note_plainly(self, text: str) -> None:
        if self._within_line:
            self._put("\n")
        sys.stderr.write(f"{escape(text)}\n")
        sys.stderr.flush()

    def _put(self, text: str) -> None:
        self.console.file.write(text)
        self.console.file.flush()
        self._within_line = not text.endswith("\n") if text else self._within_line

    def draw(self, printed: Sequence[RenderableType], changing: Sequence[RenderableType]) -> None:
        """Print for good, and have other changing lines than before; all in one write."""
        shown = () if self.plain or self.typing else changing
        if printed or shown or self._rows:
            self._run(lambda: self._write(printed, shown))

    def _write(self, printed: Sequence[RenderableType], changing: Sequence[RenderableType]) -> None:
        lines = self._lines(changing)
        stays = [line for each in printed for line in self._rendered(each)]
        text = self._taken_back() + self._ansi([*stays, *lines])
        self._rows = [Segment.get_line_length(line) for line in lines]
        drawn = self.console.is_terminal and not self.plain
        self._put(f"{BEGIN}{text}{END}" if drawn else text)

    def _taken_back(self) -> str:
        """What goes up over the changing lines and clears them, also when the window has become narrower since."""
        rows = sum(max(1, -(-width // self.console.width)) for width in self._rows)
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _lines(self, renderables: Sequence[RenderableType]) -> list[Line]:
        options = self.console.options.update(width=max(1, self.console.width - 1), height=None)
        lines = [line for each in renderables for line in self._rendered(each, options)]
        return lines[-max(1, self.console.height - ROOM_ABOVE) :]

    def _rendered(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> list[Line]:
        return [_trimmed(line) for line in self.console.render_lines(renderable, options, pad=False)]

    def _ansi(self, lines: Sequence[Line]) -> str:
        with self.console.capture() as capture:
            for line in lines:
                self.console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)
        return capture.get()


def _trimmed(line: Line) -> Line:
    """The line without blanks at its end: whoever copies it wants none, and a narrower window would wrap them."""
    kept = list(line)
    while kept and not kept[-1].text.rstrip() and _is_plain(kept[-1]):
        kept.pop()
    if kept and _is_plain(kept[-1]):
        last = kept[-1]
        kept[-1] = Segment(last.text.rstrip(), last.style)
    return kept


def _is_plain(segment: Segment) -> bool:
    """Whether blanks of that style cannot be seen."""
    style = segment.style
    return style is None or not (style.bgcolor or style.underline or style.reverse)
