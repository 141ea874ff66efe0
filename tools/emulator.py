"""A terminal in memory: what a program wrote, as a person sees it. Enough of ECMA-48 for the programs of this project.

Keeps every sequence that it does not know, and those that would do more than draw, for whoever wants to hold them
against the program.
"""

from __future__ import annotations

import re
import unicodedata

SEQUENCE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # control sequences
    r"|\x1b[\]P_^X](?P<string>.*?)(?:\x07|\x1b\\|\x9c)"  # commands with a text: titles, the clipboard, links
    r"|\x1b[ -/]*[0-Z\\^-~]",  # the short ones
    re.DOTALL,
)
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]P_^X][^\x07\x1b]*|[ -/]*)?\Z")
NOT_DRAWN = {"h", "l", "m", "n", "q", "t", "u"}  # modes, colours, questions


class Emulator:
    """Feed it what a program writes; `lines()` is the paper from its first line on, `strange` what was not expected."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.strange: list[str] = []
        self._paper: list[list[str]] = [[]]
        self._row = self._column = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take in what was written; a sequence may come in pieces."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._put(text[at])
                at += 1
            elif found := SEQUENCE.match(text, at):
                self._obey(found)
                at = found.end()
            elif UNFINISHED.match(text, at):
                self._rest = text[at:]
                return
            else:
                self.strange.append(text[at : at + 8])
                at += 1

    def lines(self) -> list[str]:
        """All lines, those that have left the window included, without blanks at their ends."""
        lines = ["".join(line).rstrip() for line in self._paper]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self) -> str:
        return "\n".join(self.lines())

    @property
    def cursor(self) -> tuple[int, int]:
        """Its row in the window and its column, both from 1."""
        return self._row - max(0, len(self._paper) - self.rows) + 1, self._column + 1

    def _obey(self, found: re.Match[str]) -> None:
        final, parameters = found["final"], found["parameters"] or ""
        if final is None or (final not in NOT_DRAWN and not self._move(final, parameters)):
            self.strange.append(found[0])

    def _move(self, final: str, parameters: str) -> bool:
        if not re.fullmatch(r"[\d;]*", parameters):
            return False
        first, *more = (int(number or 0) for number in parameters.split(";"))
        top = max(0, len(self._paper) - self.rows)
        match final:
            case "A":
                self._row = max(top, self._row - max(1, first))
            case "B":
                self._go_down(max(1, first))
            case "C":
                self._column = min(self.columns - 1, self._column + max(1, first))
            case "D":
                self._column = max(0, self._column - max(1, first))
            case "G":
                self._column = max(1, first) - 1
            case "H":
                self._row, self._column = top + max(1, first) - 1, max(1, *more, 1) - 1
                self._go_down(0)
            case "J":
                self._clear_below(first, top)
            case "K":
                self._clear_line(first)
            case _:
                return False
        return True

    def _go_down(self, count: int) -> None:
        self._row += count
        while len(self._paper) <= self._row:
            self._paper.append([])

    def _clear_below(self, how: int, top: int) -> None:
        if how >= 2:
            del self._paper[top:]
            self._go_down(0)
        else:
            del self._paper[self._row + 1 :]
            self._clear_line(0)

    def _clear_line(self, how: int) -> None:
        line = self._paper[self._row]
        if how == 0:
            del line[self._column :]
        elif how == 2:
            line.clear()
        else:
            line[: self._column + 1] = " " * min(len(line), self._column + 1)

    def _put(self, character: str) -> None:
        if character == "\n":
            self._go_down(1)
        elif character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(0, self._column - 1)
        elif character == "\t":
            self._column = min(self.columns - 1, (self._column // 8 + 1) * 8)
        elif unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            self.strange.append(character)
        else:
            self._draw(character)

    def _draw(self, character: str) -> None:
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if self._column + width > self.columns:
            self._go_down(1)
            self._column = 0
        line = self._paper[self._row]
        line += " " * (self._column + width - len(line))
        line[self._column : self._column + width] = [character, ""][:width]
        self._column += width
