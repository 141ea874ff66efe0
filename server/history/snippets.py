"""The words around what was looked for, with the hits marked. Pure text: knows no tables and no queries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from server.history.words import LETTER, Term, fold

LENGTH = 160  # code points of a snippet, about two lines
LEAD = 40  # of these, at most so many before the first hit
LOOKED_AT = 200_000  # code points of a text
MAX_HITS = 200  # of a term in a text that are looked at, if there are more terms
ELLIPSIS = "…"


@dataclass(slots=True, frozen=True)
class Snippet:
    """A part of a text on one line. `marks` are the hits in it, from and up to which code point.

    Of the terms, `found` are somewhere in the whole text, `whole` of them as whole words, and `near` in the snippet.
    """

    text: str
    marks: tuple[tuple[int, int], ...]
    found: int
    whole: int
    near: int


class _Hit(NamedTuple):
    start: int
    end: int
    term: str
    whole: bool


def snippet(text: str, terms: Sequence[Term], length: int = LENGTH) -> Snippet:
    """The part of `text`, of about `length` code points, that holds the most different terms."""
    text = unicodedata.normalize("NFC", text[:LOOKED_AT])
    hits = _hits(text, terms, length)
    start, end = _window(text, _most_terms(hits, length - LEAD), length)
    before, after = ELLIPSIS if start else "", ELLIPSIS if end < len(text) else ""
    inside = [hit for hit in hits if start <= hit.start and hit.end <= end]
    return Snippet(
        text=before + re.sub(r"\s", " ", text[start:end]) + after,
        marks=_marks(inside, len(before) - start),
        found=len({hit.term for hit in hits}),
        whole=len({hit.term for hit in hits if hit.whole}),
        near=len({hit.term for hit in inside}),
    )


def _hits(text: str, terms: Sequence[Term], length: int) -> list[_Hit]:
    folded, origins = _folded(text)
    hits: list[_Hit] = []
    seen: dict[str, int] = {}
    for match in _pattern(tuple(terms)).finditer(folded):
        term = match[0]
        if (count := seen.get(term, 0)) == MAX_HITS:
            continue
        if len(terms) == 1 and hits and match.start() > hits[0].end + length:
            break  # what follows is in no snippet
        seen[term] = count + 1
        start, end = match.span()
        if origins is not None:
            start, end = origins[start], origins[end - 1] + 1
        hits.append(_Hit(start, end, term, match["whole"] is not None))
    return hits


def _folded(text: str) -> tuple[str, list[int] | None]:
    """`text` as search sees it, and where in `text` each of its characters comes from; None: from the same place."""
    if text.isascii():
        return text.lower(), None
    parts = [_fold_character(character) for character in text]
    return "".join(parts), [place for place, part in enumerate(parts) for _ in part]


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    return fold(character)


@lru_cache(maxsize=64)
def _pattern(terms: tuple[Term, ...]) -> re.Pattern[str]:
    """Finds every term: in the middle of a spaceless script, else where a word begins. The longest comes first."""
    longest_first = sorted(terms, key=lambda term: len(term.text), reverse=True)
    anywhere = [re.escape(term.text) for term in longest_first if term.spaceless]
    beginnings = [re.escape(term.text) for term in longest_first if not term.spaceless]
    alternatives = anywhere + [rf"(?<!{LETTER})(?:{'|'.join(beginnings)})"] * bool(beginnings)
    return re.compile(rf"(?:{'|'.join(alternatives)})(?P<whole>(?!{LETTER}))?")


def _most_terms(hits: Sequence[_Hit], span: int) -> _Hit | None:
    """The hit from which on the most different terms follow within `span` code points, and soonest."""
    if len({hit.term for hit in hits}) <= 1:
        return hits[0] if hits else None
    best, most = None, (0, 0)
    for number, first in enumerate(hits):
        terms: set[str] = set()
        last = first
        for hit in islice(hits, number, None):
            if hit.end > first.start + span:
                break
            if hit.term not in terms:
                terms.add(hit.term)
                last = hit
        if (rank := (len(terms), first.start - last.end)) > most or best is None:
            best, most = first, rank
    return best


def _marks(hits: Sequence[_Hit], shift: int) -> tuple[tuple[int, int], ...]:
    """Where the hits are. Two in one character, as 1 and 4 are in ¼, make one mark."""
    marks: list[tuple[int, int]] = []
    for hit in hits:
        if not marks or hit.start + shift >= marks[-1][1]:
            marks.append((hit.start + shift, hit.end + shift))
    return tuple(marks)


def _window(text: str, first: _Hit | None, length: int) -> tuple[int, int]:
    """A part of `text` around `first` that does not cut words where that can be avoided."""
    if first is None or len(text) <= length:
        return 0, _last_gap(text, 0, length) if len(text) > length else len(text)
    start = max(0, min(first.start - LEAD, len(text) - length))
    if start:
        gap = re.compile(r"\s+").search(text, start, first.start)
        start = gap.end() if gap else start
    end = min(start + length, len(text))
    return start, max(_last_gap(text, start, end), first.end) if end < len(text) else end


def _last_gap(text: str, start: int, end: int) -> int:
    """Where the last word that ends before `end` ends; `end` where there is none in the second half."""
    gaps = [gap.start() for gap in re.finditer(r"\s+", text[start : end + 1])]
    return start + gaps[-1] if gaps and gaps[-1] > (end - start) // 2 else end
