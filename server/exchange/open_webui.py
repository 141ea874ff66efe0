"""Reads Open WebUI's export: a list of chats, each with a `history` of messages by id, or in older ones a plain list.

What it keeps inside the text of an answer comes apart here: reasoning goes where reasoning belongs, calls of tools
leave their names. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from server.exchange.draft import BadConversation, Draft
from server.exchange.loose import count, items, name, record, seconds, text
from server.exchange.outline import outline
from server.exchange.spoken import Spoken, spoken
from server.exchange.tree import Entry, grow
from server.protocol import ChatParams, RunError, TimingInfo, UsageInfo

NANOSECONDS = 1e9
# What Open WebUI calls them, and what they are called here.
PARAMS = {
    **{key: key for key in ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", "seed", "system")},
    "num_predict": "max_tokens",
}


def reads(conversation: dict[str, object]) -> bool:
    """Whether this is a chat of such an export."""
    chat = _chat(conversation)
    return isinstance(chat.get("history"), dict) or isinstance(chat.get("messages"), list)


def read(conversation: dict[str, object], now: float, new_id: Callable[[], str]) -> Draft:
    """One chat. `now` is its time if it has none. Raises BadConversation."""
    chat = _chat(conversation)
    history = record(chat.get("history"))
    messages = history.get("messages")
    if messages is not None and not isinstance(messages, dict):
        raise BadConversation("history.messages is not an object.")
    entries = _tree(messages) if messages else dict(_line(items(chat.get("messages"))))
    current = name(history.get("currentId")) or name(conversation.get("current_message_id"))
    grown = grow(entries, current if messages else next(reversed(entries), None), new_id)
    about = outline(
        name(conversation.get("title")) or name(chat.get("title")),
        seconds(conversation.get("created_at")) or seconds(chat.get("timestamp")),
        seconds(conversation.get("updated_at")),
        grown,
        now,
        pinned=conversation.get("pinned") is True,
        settings=_settings(chat),
    )
    source_id = name(conversation.get("id")) or text(chat.get("id"))
    return Draft(about, len(grown), grown, "open_webui", source_id[:256])


def _chat(conversation: dict[str, object]) -> dict[str, object]:
    """The chat inside its row of the database, or the whole of it where there is no row around it."""
    return record(conversation.get("chat")) or conversation


def _tree(messages: dict[str, object]) -> dict[str, Entry]:
    nodes = {identity: record(message) for identity, message in messages.items()}
    entries = {identity: _entry(node, name(node.get("parentId"))) for identity, node in nodes.items()}
    for identity, message in messages.items():
        for place, child in enumerate(items(record(message).get("childrenIds"))):
            if isinstance(child, str) and child in entries and child != identity:
                entry = entries[child]
                if entry.parent not in entries:
                    entry.parent = identity
                entry.place = place if entry.parent == identity else entry.place
    return entries


def _line(messages: list[object]) -> Iterator[tuple[str, Entry]]:
    """Messages that simply follow each other."""
    for number, message in enumerate(messages):
        yield str(number), _entry(record(message), str(number - 1) if number else None)


def _entry(message: dict[str, object], parent: str | None) -> Entry:
    role = {"user": "user", "assistant": "ai"}.get(text(message.get("role")))
    said = _said(message)
    error = _error(message.get("error"))
    files = [_file(record(each)) for each in items(message.get("files"))]
    paragraphs = [part for part in (said.text, *files) if part]
    if role == "user" and paragraphs:
        return Entry(parent, "user", text=paragraphs, at=seconds(message.get("timestamp")))
    if role != "ai" or not (paragraphs or said.reasoning or error):
        return Entry(parent)
    return Entry(
        parent,
        "ai",
        text=paragraphs,
        reasoning=said.reasoning,
        at=seconds(message.get("timestamp")),
        model=name(message.get("model")) or name(message.get("modelName")),
        finish_reason="interrupted" if message.get("done") is False else "stop",
        error=error,
        usage=_usage(message),
        timings=_timings(message),
    )


def _said(message: dict[str, object]) -> Spoken:
    """The text of a message, from wherever this version of Open WebUI kept it."""
    content = message.get("content")
    written = content if isinstance(content, str) else "\n\n".join(_parts(items(content)))
    if message.get("role") != "assistant":
        return Spoken(written.strip(), [])
    said = spoken(written)
    output = [record(item) for item in items(message.get("output"))]
    texts = [part for item in output if item.get("type") == "message" for part in _parts(items(item.get("content")))]
    thoughts = [
        part
        for item in output
        if item.get("type") == "reasoning"
        for part in _parts(items(item.get("content")) or items(item.get("summary")))
    ]
    return Spoken(said.text or "\n\n".join(texts), said.reasoning or thoughts)


def _parts(parts: list[object]) -> Iterator[str]:
    for part in parts:
        said = record(part)
        if said.get("type") in ("image_url", "input_image"):
            yield "[Image]"
        elif written := text(said.get("text")).strip():
            yield written


def _file(file: dict[str, object]) -> str:
    kind = "Image" if file.get("type") == "image" else "File"
    called = name(file.get("name")) or name(record(file.get("file")).get("filename"))
    return f"[{kind}: {' '.join(called.split())}]" if called else f"[{kind}]"


def _error(error: object) -> RunError | None:
    """Why an answer failed; it may be told as a text, inside an object, or only as a fact."""
    if not error:
        return None
    told = error if isinstance(error, str) else text(record(error).get("content")) or text(record(error).get("message"))
    return RunError(code="backend_error", message=told.strip() or "The answer failed.")


def _usage(message: dict[str, object]) -> UsageInfo | None:
    told = record(message.get("usage")) or record(message.get("info"))
    prompt, completion = (
        next((number for key in keys if (number := count(told.get(key))) is not None), None)
        for keys in (
            ("prompt_tokens", "input_tokens", "prompt_eval_count"),
            ("completion_tokens", "output_tokens", "eval_count"),
        )
    )
    if prompt is None or completion is None:
        return None
    cached = count(record(told.get("prompt_tokens_details")).get("cached_tokens"))
    return UsageInfo(prompt_tokens=prompt, cached_tokens=cached or 0, completion_tokens=completion)


def _timings(message: dict[str, object]) -> TimingInfo | None:
    told = record(message.get("usage")) or record(message.get("info"))
    total, spent, tokens = (count(told.get(key)) for key in ("total_duration", "eval_duration", "eval_count"))
    if total is None:
        return None
    speed = round(tokens / (spent / NANOSECONDS), 2) if tokens and spent else None
    return TimingInfo(total_ms=total / 1e6, tokens_per_second=speed)


def _settings(chat: dict[str, object]) -> dict[str, Any]:
    """The parameters that were set for this chat, as far as they mean something here."""
    told = {"system": chat.get("system"), **record(chat.get("params"))}
    params: dict[str, Any] = {}
    for theirs, ours in PARAMS.items():
        value = told.get(theirs)
        try:
            chosen = ChatParams.model_validate({ours: None if value in ("", []) else value}, strict=True)
        except ValidationError:
            continue
        params.update(chosen.model_dump(exclude_none=True))
    return {"params": params} if params else {}
