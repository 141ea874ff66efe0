"""Conversations to export and import: any tree that the fold could have come to, and a small one to look at."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st

from backends.base import FinishReason
from server.history.records import LOCAL, About, MessageRecord, Stored
from server.protocol import ChatParams, ErrorCode, RunError, SnapshotMessage, TimingInfo, UsageInfo
from server.titles import one_line

texts = st.text(st.characters(codec="utf-8"), max_size=30)
ids = st.text("0123456789abcdef-", min_size=1, max_size=64)
moments = st.floats(0, 1e10)
counts = st.integers(0, 2**40)
params = st.builds(
    ChatParams,
    temperature=st.none() | st.floats(0, 2),
    top_k=st.none() | st.integers(0, 1_000_000),
    max_tokens=st.none() | st.integers(1, 1_000_000),
    stop=st.none() | st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=3),
    seed=st.none() | st.integers(0, 2**63 - 1),
    system=st.none() | texts,
    diffusion=st.none() | st.dictionaries(texts, st.integers(-5, 5) | texts, max_size=2),
)
errors = st.builds(RunError, code=st.sampled_from(get_args(ErrorCode)), message=texts, retry_after=st.none() | moments)
usages = st.builds(UsageInfo, prompt_tokens=counts, cached_tokens=counts, completion_tokens=counts)
timings = st.builds(
    TimingInfo, queued_ms=st.none() | moments, ttft_ms=st.none() | moments, total_ms=st.none() | moments
)


def said(role: str, draw: st.DrawFn) -> dict[str, Any]:
    """What belongs to a message of that role, but for its place in the tree."""
    if role == "notice":
        return {}
    told = {"at": draw(st.none() | moments), "cmd_id": draw(st.none() | ids)}
    if role == "user":
        return {**told, "run": draw(st.none() | ids)}
    failed = draw(st.booleans())
    return {
        **told,
        "reasoning": draw(st.none() | texts.filter(bool)),
        "finish_reason": None if failed else draw(st.sampled_from(get_args(FinishReason))),
        "error": draw(errors) if failed else None,
        "model": draw(st.none() | texts),
        "usage": draw(st.none() | usages),
        "timings": draw(st.none() | timings),
        "params": draw(st.none() | params),
    }


@st.composite
def trees(draw: st.DrawFn) -> list[SnapshotMessage]:
    """Messages, parents before children, answers below questions, nothing below notices; one child is selected."""
    messages: list[SnapshotMessage] = []
    chosen: set[str | None] = set()
    names = draw(st.lists(ids, min_size=1, max_size=12, unique=True))
    for name in names:
        questions = [message.id for message in messages if message.role == "user"]
        role = draw(st.sampled_from(["user", "ai", "notice"] if questions else ["user", "notice"]))
        above = questions if role == "ai" else [message.id for message in messages if message.role != "notice"]
        parents = above if role == "ai" else [None, *above]
        parent = draw(st.sampled_from(parents))
        selected = role == "notice" or (parent not in chosen and draw(st.booleans()))
        if selected and role != "notice":
            chosen.add(parent)
        messages.append(
            SnapshotMessage(
                id=name, parent_id=parent, role=role, message=draw(texts), selected=selected, **said(role, draw)
            )
        )
    return messages


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    """A conversation in which nothing runs."""
    messages = draw(trees())
    about = About(
        id=draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        owner=LOCAL,
        title=one_line(draw(st.text(st.characters(codec="utf-8"), max_size=200))),
        titled=draw(st.booleans()),
        pinned=draw(st.booleans()),
        created_at=draw(moments),
        updated_at=draw(moments),
        settings=draw(st.fixed_dictionaries({}, optional={"model": texts, "params": st.just({"top_k": 3})})),
    )
    head = draw(st.integers(len(messages), 2**40))
    return Stored(about, head, [MessageRecord(number, message) for number, message in enumerate(messages)])


def conversation(*messages: SnapshotMessage, title: str = "Tea") -> Stored:
    """These messages as a stored conversation."""
    about = About("ab" * 16, LOCAL, title, True, False, 1_700_000_000.0, 1_700_000_060.0, {})
    return Stored(about, len(messages), [MessageRecord(number, message) for number, message in enumerate(messages)])


def user(identity: str, text: str, parent: str | None = None, **more: Any) -> SnapshotMessage:
    return SnapshotMessage(id=identity, parent_id=parent, role="user", message=text, **more)


def ai(identity: str, text: str, parent: str | None, **more: Any) -> SnapshotMessage:
    told = {"finish_reason": "stop", "model": "echo/echo", **more}
    return SnapshotMessage(id=identity, parent_id=parent, role="ai", message=text, **told)
