"""Reads ChatGPT's export: `conversations.json`, a list of conversations, each a `mapping` of nodes by id.

A node holds a message or none, and the ids of its parent and its children; newer exports leave some of these links
out, and the metadata of some messages. System messages, calls of tools and their results are not shown there, nor
here; a picture that a tool made is. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from backends.base import FinishReason
from server.exchange.draft import BadConversation, Draft
from server.exchange.fences import fenced
from server.exchange.loose import items, name, record, seconds, text
from server.exchange.outline import outline
from server.exchange.tree import Entry, grow

NOT_SHOWN = {"user_editable_context", "model_editable_context", "reasoning_recap", "system_error"}
FINISHES: dict[str, FinishReason] = {"max_tokens": "length", "interrupted": "cancelled"}
# Citations stand between characters of the private use area, which mean nothing outside ChatGPT's own page.
_CITATION = re.compile("\ue200[^\ue200\ue201]*\ue201|[\ue200-\ue206]")


def reads(conversation: dict[str, object]) -> bool:
    """Whether this is a conversation of such an export."""
    return "mapping" in conversation


def read(conversation: dict[str, object], now: float, new_id: Callable[[], str]) -> Draft:
    """One conversation. `now` is its time if it has none. Raises BadConversation."""
    mapping = conversation.get("mapping")
    if not isinstance(mapping, dict):
        raise BadConversation("mapping is not an object.")
    model = name(conversation.get("default_model_slug"))
    entries = {identity: _entry(record(node), model) for identity, node in mapping.items()}
    _link_children(entries, mapping)
    messages = grow(entries, name(conversation.get("current_node")), new_id)
    about = outline(
        name(conversation.get("title")),
        seconds(conversation.get("create_time")),
        seconds(conversation.get("update_time")),
        messages,
        now,
        pinned=conversation.get("is_starred") is True or seconds(conversation.get("pinned_time")) is not None,
    )
    source_id = name(conversation.get("conversation_id")) or text(conversation.get("id"))
    return Draft(about, len(messages), messages, "chatgpt", source_id[:256])


def _link_children(entries: dict[str, Entry], mapping: dict[str, object]) -> None:
    """Take the order of siblings, and parents that do not say themselves, from the lists of children."""
    for identity, node in mapping.items():
        for place, child in enumerate(items(record(node).get("children"))):
            if isinstance(child, str) and child in entries and child != identity:
                entry = entries[child]
                if entry.parent not in entries:
                    entry.parent = identity
                entry.place = place if entry.parent == identity else entry.place


def _entry(node: dict[str, object], model: str | None) -> Entry:
    message = record(node.get("message"))
    parent = name(node.get("parent"))
    role = _role(message)
    if role is None:
        return Entry(parent)
    content, metadata = record(message.get("content")), record(message.get("metadata"))
    reasoning = _thoughts(content)
    said = [] if reasoning else [part for part in (_text(content), _attachments(metadata)) if part]
    if not said and not reasoning:
        return Entry(parent)
    return Entry(
        parent,
        role,
        text=said,
        reasoning=reasoning,
        at=seconds(message.get("create_time")),
        model=(name(metadata.get("model_slug")) or model) if role == "ai" else None,
        finish_reason=_finish(message, metadata),
    )


def _role(message: dict[str, object]) -> Literal["user", "ai"] | None:
    """Who is shown to have said this."""
    content, metadata = record(message.get("content")), record(message.get("metadata"))
    hidden = metadata.get("is_visually_hidden_from_conversation") is True
    if hidden or content.get("content_type") in NOT_SHOWN:
        return None
    match record(message.get("author")).get("role"):
        case "user":
            return "user"
        case "assistant" if message.get("recipient") in (None, "", "all"):
            return "ai"
        case "tool" if any(_is_picture(part) for part in items(content.get("parts"))):
            return "ai"
        case _:
            return None


def _is_picture(part: object) -> bool:
    return record(part).get("content_type") == "image_asset_pointer"


def _text(content: dict[str, object]) -> str:
    kind = content.get("content_type")
    if kind == "code":
        language = text(content.get("language"))
        return fenced(text(content.get("text")), "" if language == "unknown" else language)
    parts = [_part(part) for part in items(content.get("parts"))] or [text(content.get("text"))]
    return _CITATION.sub("", "\n\n".join(part for part in parts if part)).strip()


def _part(part: object) -> str:
    """A part of a message: text, or what stands for a picture or a recording."""
    if isinstance(part, str):
        return part
    said = record(part)
    match said.get("content_type"):
        case "image_asset_pointer":
            made = text(record(record(said.get("metadata")).get("dalle")).get("prompt"))
            return f"[Image: {' '.join(made.split())}]" if made.strip() else "[Image]"
        case "audio_transcription" | "text":
            return text(said.get("text"))
        case "audio_asset_pointer" | "real_time_user_audio_video_asset_pointer":
            return "[Recording]"
        case _:
            return text(said.get("text"))


def _thoughts(content: dict[str, object]) -> list[str]:
    if content.get("content_type") != "thoughts":
        return []
    thoughts = [record(thought) for thought in items(content.get("thoughts"))]
    told = [(text(thought.get("summary")).strip(), text(thought.get("content")).strip()) for thought in thoughts]
    return [f"**{title}**\n\n{said}" if title and said else title or said for title, said in told if title or said]


def _attachments(metadata: dict[str, object]) -> str:
    names = [name(record(attached).get("name")) for attached in items(metadata.get("attachments"))]
    return "\n".join(f"[File: {' '.join(each.split())}]" for each in names if each)


def _finish(message: dict[str, object], metadata: dict[str, object]) -> FinishReason:
    if message.get("status") == "in_progress":
        return "interrupted"
    return FINISHES.get(text(record(metadata.get("finish_details")).get("type")), "stop")
