"""Conversations to store: small ones, with every field of a message in use somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.history.records import LOCAL, About, Change, MessageRecord, Piece, RunRecord
from server.protocol import ChatParams, RunError, SnapshotMessage, TimingInfo, UsageInfo


def about(identity: str = "s1", **other: Any) -> About:
    """A conversation that nobody has done anything to yet."""
    fields: dict[str, Any] = {
        "owner": LOCAL,
        "title": "Tea",
        "titled": False,
        "pinned": False,
        "created_at": 100.0,
        "updated_at": 200.0,
    }
    return About(identity, **fields | other)


def user(identity: str, text: str, parent: str | None = None, **other: Any) -> SnapshotMessage:
    return SnapshotMessage(id=identity, role="user", message=text, parent_id=parent, **other)


def answer(identity: str, text: str, parent: str, **other: Any) -> SnapshotMessage:
    return SnapshotMessage(
        id=identity,
        role="ai",
        message=text,
        parent_id=parent,
        **{"finish_reason": "stop", "model": "echo/echo"} | other,
    )


def records(*messages: SnapshotMessage) -> list[MessageRecord]:
    return [MessageRecord(position, message) for position, message in enumerate(messages)]


def change(of: About, *messages: SnapshotMessage, **other: Any) -> Change:
    return Change(**{"about": of, "head": len(messages), "messages": records(*messages)} | other)


def talk(identity: str = "s1", *lines: str, **other: Any) -> Change:
    """A conversation in which `lines` were said in turn: a question, its answer, a question ..."""
    said: list[SnapshotMessage] = []
    for number, line in enumerate(lines):
        parent = said[-1].id if said else None
        make = answer if number % 2 else user
        said.append(make(f"m{number}", line, parent))  # type: ignore[operator]
    return change(about(identity, **other), *said)


def everything() -> Sequence[SnapshotMessage]:
    """A tree in which every field of a message is used."""
    return (
        user("u1", "Which tea?", cmd_id="c1", run="a1", at=1000.5),
        answer(
            "a1",
            "Green.",
            "u1",
            reasoning="Hm, green or black?",
            selected=False,
            usage=UsageInfo(prompt_tokens=7, cached_tokens=3, completion_tokens=2),
            timings=TimingInfo(queued_ms=0.5, ttft_ms=12.25, total_ms=80, tokens_per_second=25.5),
            params=ChatParams(temperature=0.7, seed=2**62, stop=["\n\n"], system="Be brief.", diffusion={"steps": 4}),
            at=1001.25,
        ),
        answer(
            "a2",
            "Bla",
            "u1",
            finish_reason=None,
            error=RunError(code="backend_error", message="It fell over.", retry_after=1.5),
            model="pytorch/tiny",
        ),
        SnapshotMessage(id="n1", role="notice", message="The beginning is no longer shown.", parent_id="a2"),
        user("u2", "日本語 🫖 Käse \u202e zero\u200dwidth", "a2"),
    )


def running(identity: str = "s1", pieces: Sequence[Piece] = (), first_piece: int = 0) -> Change:
    """A conversation whose answer `a1` is being written."""
    return change(
        about(identity),
        user("u1", "Which tea?", run="a1"),
        answer("a1", "", "u1", finish_reason=None),
        run=RunRecord("a1", {"model": "echo/echo", "params": {"seed": 7}}),
        pieces=pieces,
        first_piece=first_piece,
    )
