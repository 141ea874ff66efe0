"""Takes apart an answer that was kept as one text: what was said, and the reasoning that was written into it.

Open WebUI writes `<details type="reasoning">` around quoted lines, and others around the calls of tools; models
themselves write `<think>`. Every text is gone through once, however many of these it opens and never closes.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

_OPENING = re.compile(r'<details type="(reasoning|tool_calls|code_interpreter)"([^<>]{0,100000})>')
_SUMMARY = re.compile(r"\s*<summary>[^<]{0,1000}</summary>")
_NAME = re.compile(r'\sname="([^"]{1,200})"')
_THINKING = re.compile(r"\s*<(think|thinking|thought)>")
_CLOSING = "</details>"


@dataclass(slots=True, frozen=True)
class Spoken:
    """What was said, and the parts of the reasoning before it."""

    text: str
    reasoning: list[str] = field(default_factory=list)


def spoken(content: str) -> Spoken:
    """Take `content` apart."""
    said: list[str] = []
    reasoning: list[str] = []
    at = 0
    if thinking := _THINKING.match(content):
        thought, _, rest = content[thinking.end() :].partition(f"</{thinking[1]}>")
        reasoning.append(thought.strip())
        content = rest
    while opening := _OPENING.search(content, at):
        said.append(content[at : opening.start()].strip())
        end = content.find(_CLOSING, opening.end())
        inside = content[opening.end() : end if end >= 0 else len(content)]
        at = end + len(_CLOSING) if end >= 0 else len(content)
        if opening[1] == "reasoning":
            reasoning.append(_unquoted(inside))
        else:
            said.append(_call(opening[1], opening[2]))
    said.append(content[at:].strip())
    return Spoken("\n\n".join(part for part in said if part), [part for part in reasoning if part])


def _unquoted(inside: str) -> str:
    """The lines of a quotation, without its marks."""
    summary = _SUMMARY.match(inside)
    lines = html.unescape(inside[summary.end() if summary else 0 :]).strip().split("\n")
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in lines).strip()


def _call(kind: str, attributes: str) -> str:
    called = _NAME.search(attributes)
    return f"[Tool: {html.unescape(called[1])}]" if called else "[Code]" if kind == "code_interpreter" else "[Tool]"
