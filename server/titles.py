"""What a conversation is called: the first line of its first message that says something, by rule and without a model.

Knows nothing of conversations: it goes from text to one line of text. Marks of Markdown are taken off, code is only
used where there is nothing else, and what would reorder or hide letters in a list never comes through. The time it
takes does not grow with the message: a title is looked for in its beginning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

UNTITLED = "New chat"
TITLE_CHARS = 60  # of a title by rule
MAX_TITLE_CHARS = 200  # of one that a person gave
LOOKED_AT = 8_000  # characters of a message
LINE_LOOKED_AT = 500
JOINERS = "\u200c\u200d"  # letters and emoji are joined or held apart by these
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
BLOCK_MARKS = re.compile(r"^(?:\s|>|#{1,6}(?=\s|$)|[-*+](?=\s)|\d{1,9}[.)](?=\s)|\[[ xX]\](?=\s))+")
CLOSING_MARKS = re.compile(r"\s#+\s*$")
LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s[^()]*)?\)|\[[^\[\]]*\])")
CODE = re.compile(r"(`+)(.+?)(?<!`)\1(?!`)")
EMPHASIS = re.compile(r"(?<![\w*~])(\*{1,3}|_|~~)(?=[^\s*_~])(.+?)(?<=[^\s*_~])\1(?![\w*~])")
UNFIT_ENDS = " ,;:.-–—([{\"'"


def title_of(text: str) -> str:
    """The title of a conversation that begins with `text`: 1 to `TITLE_CHARS` characters on one line."""
    prose: list[str] = []
    code: list[str] = []
    for line, fenced in _lines(text[:LOOKED_AT]):
        plain = one_line(line if fenced else _without_marks(line))
        (code if fenced else prose).append(plain)
    candidates = [line for line in prose + code if line.strip(JOINERS)]
    spoken = (line for line in candidates if any(letter.isalnum() for letter in line))
    return _cut(next(spoken, "") or (candidates[0] if candidates else UNTITLED))


def one_line(text: str) -> str:
    """`text` on one line: runs of white space become one space, and control and direction characters go."""
    spaced = "".join(" " if letter.isspace() else letter for letter in text if _visible(letter))
    return " ".join(spaced.split())


def _visible(letter: str) -> bool:
    return letter in JOINERS or letter.isspace() or unicodedata.category(letter) not in ("Cc", "Cf", "Cs")


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """The lines of `text` but for the fences, and whether each lies between two."""
    fence = ""
    for line in text.splitlines():
        found = FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence):
            fence = ""
        else:
            yield line[:LINE_LOOKED_AT], bool(fence)


def _without_marks(line: str) -> str:
    line = CLOSING_MARKS.sub("", BLOCK_MARKS.sub("", line))
    line = LINK.sub(r"\1", line)
    line = CODE.sub(r"\2", line)
    for _ in range(2):  # bold that holds italics, or the other way round
        line = EMPHASIS.sub(r"\2", line)
    return line


def _cut(line: str) -> str:
    """At most `TITLE_CHARS` characters of `line`, up to the end of a word if one ends in the second half."""
    if len(line) <= TITLE_CHARS:
        return line
    end = line.rfind(" ", TITLE_CHARS // 2, TITLE_CHARS)
    if end < 0:
        end = TITLE_CHARS - 1
        while end > 1 and _clings(line[end - 1], line[end]):
            end -= 1
    return (line[:end].rstrip(UNFIT_ENDS) or line[:end]) + "…"


def _clings(before: str, letter: str) -> bool:
    """Whether two characters are drawn as one: a letter with its accent, an emoji with its modifier."""
    modifies = "\ufe00" <= letter <= "\ufe0f" or "\U0001f3fb" <= letter <= "\U0001f3ff"
    return modifies or unicodedata.combining(letter) > 0 or letter in JOINERS or before in JOINERS
