"""`/quote`: an answer that needs no model. A quotation comes word by word, as an answer does, and is kept like one.

Which one it is follows from the answer's id, so that one which was cut goes on in the same quotation. Every text is by
somebody who died more than a century ago.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator

from backends.base import Done, Event, Text, Usage

COMMAND = re.compile(r"/quote\b")
WORD = re.compile(r"\S+\s*|\s+")
WORD_EVERY_S = 0.03

QUOTES = (
    ("Begin at the beginning, and go on till you come to the end: then stop.", "Lewis Carroll"),
    ("Brevity is the soul of wit.", "William Shakespeare"),
    ("What's past is prologue.", "William Shakespeare"),
    ("There is nothing either good or bad, but thinking makes it so.", "William Shakespeare"),
    ("A foolish consistency is the hobgoblin of little minds.", "Ralph Waldo Emerson"),
    ("The beginning is the most important part of the work.", "Plato"),
    ("In the fields of observation chance favours only the prepared mind.", "Louis Pasteur"),
    ("I did not think; I investigated.", "Wilhelm Conrad Röntgen"),
    (
        "The Analytical Engine weaves algebraical patterns just as the Jacquard loom weaves flowers and leaves.",
        "Ada Lovelace",
    ),
    ("It can do whatever we know how to order it to perform.", "Ada Lovelace, of the Analytical Engine"),
    ("To be great is to be misunderstood.", "Ralph Waldo Emerson"),
    ("Our life is frittered away by detail. Simplify, simplify.", "Henry David Thoreau"),
)


def is_quote(message: str) -> bool:
    """Whether a message asks for a quotation, and not for a model's answer."""
    return COMMAND.match(message) is not None


def quotation(answer: str) -> str:
    """The one that the answer of that id consists of, in Markdown."""
    text, author = QUOTES[zlib.crc32(answer.encode()) % len(QUOTES)]
    return f"> {text}\n>\n> — {author}"


async def quote(answer: str, said: str = "") -> AsyncGenerator[Event, None]:
    """The answer of that id, of which there is `said` already."""
    words = WORD.findall(quotation(answer).removeprefix(said))
    for word in words:
        await asyncio.sleep(WORD_EVERY_S)
        yield Text(word)
    yield Done("stop", Usage(completion_tokens=len(words)))
