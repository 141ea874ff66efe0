"""A conversation on its way in: read from a document, and not yet known under which id it will be kept.

Also what can be wrong with a document, or with one conversation of it. Knows no format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from server.history.records import About
from server.protocol import SnapshotMessage

Source = Literal["switchboard", "open_webui", "chatgpt"]


class DocumentError(Exception):
    """Nothing can be taken from this document. `str(error)` is a sentence for a person."""


class BadConversation(Exception):
    """One conversation cannot be taken. `str(error)` names the field and goes on from the conversation's name."""


@dataclass(slots=True, frozen=True)
class Draft:
    """A conversation as a document tells it.

    `about.id` is empty unless it is an id of ours. `source_id` is the document's own name for it; it says
    nothing about who may see it, so that it never becomes an id here. Parents come before their children.
    """

    about: About
    head: int
    messages: Sequence[SnapshotMessage]
    source: Source
    source_id: str


@dataclass(slots=True, frozen=True)
class Problem:
    """A conversation that could not be taken, and why, in a sentence."""

    reason: str


def fingerprint(messages: Sequence[SnapshotMessage]) -> str:
    """The same for the same messages in the same tree, whatever their ids are and whichever branch is looked at.

    128 bits, as hexadecimal digits.
    """
    numbers = {message.id: number for number, message in enumerate(messages)}
    digest = hashlib.sha256()
    for message in messages:
        parent = None if message.parent_id is None else numbers.get(message.parent_id)
        told = (parent, message.role, message.message, message.reasoning, message.model, message.at)
        digest.update(orjson.dumps(told) + b"\n")
    return digest.hexdigest()[:32]
