"""A foreign server's own words, made fit for people. Knows nothing of what they mean."""

from __future__ import annotations

import re

CONTEXT = re.compile(
    r"exceed\w*\b.*\bcontext|context (length|size|window) exceeded|maximum context length|max_model_len"
    r"|longer than the (model|maximum|context)|prompt is too long",
    re.IGNORECASE,
)  # what servers say of a prompt that is longer than the model can read
MEMORY = re.compile(r"more system memory|out of memory|cudaMalloc failed|unable to allocate", re.IGNORECASE)

_ADDRESSES = re.compile(
    r'"?\w+://[^\s"]*"?'  # URLs
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"  # IP addresses
    r"|(?<![\w.])(?:~|[A-Za-z]:)?[/\\][^\s\"':,;]+"  # absolute paths
)


def clean(text: str) -> str:
    """The words as a person may see them: one line without paths, addresses and control characters."""
    printable = "".join(char if char.isprintable() else " " for char in _ADDRESSES.sub("…", text))
    line = " ".join(printable.split()).rstrip(".")
    return line[:200] or "it gave no reason"


def sentence(text: str) -> str:
    """The same with a capital at its beginning."""
    return text[:1].upper() + text[1:]
