"""What may reach the terminal of a text that somebody else wrote: nothing that the terminal would act on.

Control characters move the cursor, change the title, write the clipboard (OSC 52) or set links (OSC 8); bidirectional
overrides and invisible characters show another text than there is. Each is replaced, by itself, with a picture of it:
a text that is cut anywhere is as safe as the whole. Knows nothing of where texts come from.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

PICTURES = 0x2400  # ␀ and, in order, the pictures of all of C0
DELETE, PICTURE_OF_DELETE = 0x7F, 0x2421
KEPT = {"\n", "\t"}
JOINERS = {"\u200c", "\u200d"}  # spelling in Persian and Indic scripts, and families of emoji
SIGNS = {*"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}  # these are seen
UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, format characters, halves of surrogates, odd line ends


class _Shown(dict[int, str]):
    """By code point, what stands for it. Found out once for each that occurs."""

    def __missing__(self, point: int) -> str:
        self[point] = shown = _shown(chr(point))
        return shown


def escape(text: str) -> str:
    """`text` with a picture in place of whatever a terminal would act on or not show. Lines and tabs stay."""
    return text if text.isascii() and text.isprintable() else text.translate(_TABLE)


def one_line(text: str) -> str:
    """The same for what stands in a line of ours: a title, a name, a reason."""
    return escape(" ".join(text.split()))


def _shown(character: str) -> str:
    point = ord(character)
    if character in KEPT or character in JOINERS or character in SIGNS:
        return character
    if point < 0x20:
        return chr(PICTURES + point)
    if point == DELETE:
        return chr(PICTURE_OF_DELETE)
    if unicodedata.category(character) in UNSEEN:
        return f"⟨U+{point:04X}⟩"
    return character


_TABLE: Mapping[int, str] = _Shown()
