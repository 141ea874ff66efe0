"""Probabilities of tokens as OpenAI-compatible servers send them. Does no I/O.

Chats have objects with text, bytes and likely others; some servers send the same for raw prompts, others the older
columns. Few tell a token's id: `NO_ID` stands for it then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from backends.base import TokenLogprob
from backends.fields import JsonObject, objects_at, text_at

NO_ID = -1
_ID = re.compile(r"token_id:(\d+)")
UNLIKELY = -9999.0  # what servers send, or mean by null, for a token that cannot come


def read_logprobs(source: object) -> tuple[TokenLogprob, ...]:
    """The tokens of one chunk's `logprobs`; none for what cannot be read."""
    if not isinstance(source, dict):
        return ()
    if objects_at(source, "content"):
        return tuple(_token(entry) for entry in objects_at(source, "content"))
    return tuple(_columns(source))


def _token(entry: JsonObject) -> TokenLogprob:
    text, identity = text_at(entry, "token"), entry.get("id")
    named = _ID.fullmatch(text)
    return TokenLogprob(
        token_id=identity if isinstance(identity, int) else int(named[1]) if named else NO_ID,
        text=text,
        data=_bytes(entry.get("bytes"), text),
        logprob=_number(entry.get("logprob")),
        top=tuple(_token(other) for other in objects_at(entry, "top_logprobs")),
    )


def _columns(source: JsonObject) -> Iterator[TokenLogprob]:
    """`{"tokens": […], "token_logprobs": […], "top_logprobs": [{token: logprob}…]}`."""
    tokens, values, tops = (source.get(key) for key in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(values, list):
        return
    for place, (token, value) in enumerate(zip(tokens, values, strict=False)):
        others = tops[place] if isinstance(tops, list) and place < len(tops) else None
        pairs = others.items() if isinstance(others, dict) else ()
        top = sorted((_plain(other, number) for other, number in pairs), key=lambda found: -found.logprob)
        yield _plain(token, value, tuple(top))


def _plain(token: object, value: object, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
    text = token if isinstance(token, str) else ""
    return TokenLogprob(NO_ID, text, text.encode(), _number(value), top)


def _bytes(value: object, text: str) -> bytes:
    """As the server tells them, else those of the text."""
    try:
        return bytes(value) if isinstance(value, list) else text.encode()
    except (TypeError, ValueError):
        return text.encode()


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else UNLIKELY
