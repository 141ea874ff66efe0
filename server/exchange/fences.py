"""Fences around code in Markdown: longer than any inside. Knows nothing of what stands between them."""

from __future__ import annotations

import re

_LANGUAGE = re.compile(r"[^\s`]{0,40}")


def fenced(code: str, language: str = "") -> str:
    """`code` between fences that nothing in it can close. Nothing, if there is nothing in it."""
    if not code.strip():
        return ""
    fence = "`" * max(3, longest_run(code, "`") + 1)
    info = _LANGUAGE.match(language)
    return f"{fence}{info[0] if info else ''}\n{code.rstrip(chr(10))}\n{fence}"


def longest_run(text: str, mark: str) -> int:
    """How often `mark` follows itself at most."""
    return max((len(run) for run in re.findall(f"{re.escape(mark)}+", text)), default=0)
