"""Reads a document of conversations, whoever wrote it: one of ours, Open WebUI's, ChatGPT's, or a zip with such inside.

Conversations come out one by one. One that cannot be taken comes out as a `Problem` and the others come all the same;
what cannot be read at all raises DocumentError, in a sentence. Everything is bounded: what a zip unfolds to, how many
conversations there are, how large, how deep and how finely divided each is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import uuid_utils

from server.exchange import chatgpt, open_webui, own
from server.exchange.archive import is_zip, unzipped
from server.exchange.draft import BadConversation, DocumentError, Draft, Problem
from server.exchange.loose import name, parse, record
from server.exchange.scanner import Broken, Span, begin, elements, members, value

MAX_SESSIONS = 100_000
MAX_SESSION_BYTES = 16 * 1024 * 1024
MAX_PARTS = 500_000
MAX_DEPTH = 100
UNKNOWN = "This is no export of Switchboard, Open WebUI or ChatGPT."
LISTS = ("sessions", "conversations", "chats")  # where an object that holds conversations may have them
FOREIGN: tuple[ModuleType, ...] = (chatgpt, open_webui)

Outcome = Draft | Problem


def read(data: bytes, now: float, new_id: Callable[[], str] | None = None) -> Iterator[Outcome]:
    """The conversations in `data`. `now`, in Unix seconds, is the time of those that have none.

    Raises DocumentError, at the latest when all has been gone through and nothing was recognised.
    """
    reader = _Reader(now, new_id or (lambda: str(uuid_utils.uuid7())))
    for document in unzipped(data) if is_zip(data) else (data,):
        try:
            yield from reader.document(document)
        except Broken as error:
            raise DocumentError(str(error)) from error
    if reader.seen and not reader.recognised:
        raise DocumentError(UNKNOWN)


class _Reader:
    def __init__(self, now: float, new_id: Callable[[], str]) -> None:
        self.seen = 0
        self.recognised = 0
        self._now = now
        self._new_id = new_id

    def document(self, data: bytes) -> Iterator[Outcome]:
        start = begin(data)
        match data[start : start + 1]:
            case b"[":
                yield from self._list(data, start, ours=False)
            case b"{":
                yield from self._object(data, start)
            case _:
                raise DocumentError(UNKNOWN)

    def _object(self, data: bytes, start: int) -> Iterator[Outcome]:
        fields = {key: span for key, span in members(data, start) if key in (*LISTS, "format", "version")}
        ours = _small(data, fields.get("format")) == own.FORMAT
        if ours:
            own.check_version(_small(data, fields.get("version")))
        held = next((fields[key] for key in LISTS if key in fields and data[fields[key].start] == ord("[")), None)
        if held is not None:
            yield from self._list(data, held.start, ours=ours)
        elif ours:
            raise DocumentError("This document of Switchboard's has no sessions.")
        else:
            yield self._conversation(data, value(data, start), ours=False)

    def _list(self, data: bytes, start: int, *, ours: bool) -> Iterator[Outcome]:
        for span in elements(data, start):
            yield self._conversation(data, span, ours=ours)

    def _conversation(self, data: bytes, span: Span, *, ours: bool) -> Outcome:
        self.seen += 1
        if self.seen > MAX_SESSIONS:
            raise DocumentError(f"There are more than {MAX_SESSIONS:,} conversations in this document.")
        title = None
        try:
            _check_size(span)
            conversation = record(parse(data[span.start : span.end]))
            title = name(conversation.get("title"))
            return self._read(conversation, ours=ours)
        except BadConversation as error:
            called = f" (“{title[:60]}”)" if title else ""
            return Problem(f"Conversation {self.seen:,}{called} {error}")

    def _read(self, conversation: dict[str, object], *, ours: bool) -> Draft:
        if ours:
            self.recognised += 1
            return own.read(conversation)
        for reader in FOREIGN:
            if reader.reads(conversation):
                self.recognised += 1
                draft: Draft = reader.read(conversation, self._now, self._new_id)
                return draft
        raise BadConversation("is in no form that is known here.")


def _check_size(span: Span) -> None:
    if span.end - span.start > MAX_SESSION_BYTES:
        raise BadConversation(f"is larger than {MAX_SESSION_BYTES // 2**20} MiB.")
    if span.depth > MAX_DEPTH:
        raise BadConversation(f"is nested deeper than {MAX_DEPTH} levels.")
    if span.parts > MAX_PARTS:
        raise BadConversation(f"has more than {MAX_PARTS:,} parts.")


def _small(data: bytes, span: Span | None) -> object:
    """The value at `span`, if it is a small one."""
    if span is None or span.depth or span.end - span.start > 100:
        return None
    try:
        return parse(data[span.start : span.end])
    except BadConversation:
        return None
