"""Text as search sees it: words in one case, without accents, the same for every database.

Knows nothing of tables or queries. Scripts that put no spaces between words are cut into pairs of characters, each
beginning with the character before, so that any part of a text can be found in an index of words that is searched by
their beginnings: 日本語 becomes 日本, 本語 and 語. Emoji are cut likewise.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice

MAX_WORD = 64  # characters; of a longer word, only its beginning is looked at
MAX_WORDS = 20_000  # of one text
MAX_TEXT = 100_000  # characters of it that are looked at, which also keeps PostgreSQL's tsvector under its 1 MiB
MAX_QUESTION = 256  # characters of a question that are looked at
MAX_TERMS = 12  # and words

# Accents and other marks that people leave out when they type, and what joins or varies characters unseen.
_MARKS = re.compile(
    "["
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # of any script
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5"  # Hebrew
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"  # Arabic
    "\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff"  # unseen
    "]+"
)
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u9fff\ua000-\ua4cf\uac00-\ud7af\uf900-\ufaff"  # East Asia's
    "\u2600-\u27bf\U0001f000-\U0001faff\U00020000-\U0003ffff"  # emoji, rarer characters
)
_INDIC = "\u0900-\u0963\u0966-\u0dff\u0f00-\u0fff"  # their vowels are marks, and part of the word
LETTER = f"(?:(?![{_SPACELESS}])[^\\W_]|[{_INDIC}])"  # of words with spaces between them
_SEGMENT = re.compile(f"(?P<spaceless>[{_SPACELESS}]+)|{LETTER}+")


def fold(text: str) -> str:
    """`text` in one case and without accents; fullwidth and other variants of a character become the plain one."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold()))


@dataclass(slots=True, frozen=True)
class Term:
    """A part of a question: text that must be there, at the beginning of a word, or anywhere in a spaceless script.

    `words` are the words of the index that tell of it. The last is the beginning of one, unless `exact`.
    """

    text: str
    spaceless: bool
    words: tuple[str, ...]
    exact: bool = False


def terms_of(question: str) -> list[Term]:
    """What a person looks for, as they type it: each word counts as the beginning of one."""
    terms: dict[str, Term] = {}
    for match in islice(_SEGMENT.finditer(fold(question[:MAX_QUESTION])), MAX_TERMS):
        segment = match[0]
        if not match["spaceless"]:
            terms[segment] = Term(segment, spaceless=False, words=(segment[:MAX_WORD],))
        elif len(segment) == 1:
            terms[segment] = Term(segment, spaceless=True, words=(segment,))
        else:
            pairs = tuple(segment[start : start + 2] for start in range(len(segment) - 1))
            terms[segment] = Term(segment, spaceless=True, words=pairs, exact=True)
    return [term for term in terms.values() if not any(_implied(term, other) for other in terms.values())]


def _implied(term: Term, other: Term) -> bool:
    """Whether a text with `other` has `term` anyway."""
    if term is other or term.spaceless != other.spaceless:
        return False
    return term.text in other.text if term.spaceless else other.text.startswith(term.text)


def words_of(text: str, mark: str = "") -> str:
    """The words of `text` for the index, a space between them; each begins with `mark`."""
    words: list[str] = []
    for match in _SEGMENT.finditer(fold(text[:MAX_TEXT])[:MAX_TEXT]):
        segment = match[0]
        if match["spaceless"]:
            words.extend(mark + segment[start : start + 2] for start in range(len(segment)))
        else:
            words.append(mark + segment[:MAX_WORD])
        if len(words) >= MAX_WORDS:
            return " ".join(words[:MAX_WORDS])
    return " ".join(words)
