"""Makes a tree of messages out of nodes that somebody else wrote: whatever they are, what comes out is a tree.

Nodes that are not shown are passed over: what hangs on one hangs on the nearest shown node above it. An answer that
came in several parts becomes one. A parent that is not there makes a root, and so does a circle, at the point where it
closes. Time and memory grow with the document: `MAX_CHARS` bounds what is told twice.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from backends.base import FinishReason
from server.exchange.draft import BadConversation
from server.protocol import RunError, SnapshotMessage, TimingInfo, UsageInfo

MAX_MESSAGES = 50_000
MAX_CHARS = 64_000_000
NO_QUESTION = "question"


@dataclass(slots=True)
class Entry:
    """A node of the tree. Without a `role` it is not shown. `place`: where it stands among its siblings."""

    parent: str | None
    role: Literal["user", "ai"] | None = None
    text: list[str] = field(default_factory=list)  # its paragraphs
    reasoning: list[str] = field(default_factory=list)
    at: float | None = None
    model: str | None = None
    finish_reason: FinishReason = "stop"
    error: RunError | None = None
    usage: UsageInfo | None = None
    timings: TimingInfo | None = None
    place: int = 0
    selected: bool = False


def grow(entries: Mapping[str, Entry], current: str | None, new_id: Callable[[], str]) -> list[SnapshotMessage]:
    """The messages, parents before children and else in the order of their times, with ids of their own.

    The branch that `current` is in is selected, and where it does not say, the newest. Raises BadConversation.
    """
    if len(entries) > MAX_MESSAGES:
        raise BadConversation(f"has more than {MAX_MESSAGES:,} messages.")
    ascent = _Ascent(entries)
    tree = {identity: entry for identity, entry in entries.items() if entry.role is not None}
    parents = _without_circles({identity: ascent.nearest(entry.parent) for identity, entry in tree.items()})
    selected = ascent.nearest(current)
    for identity, parent in parents.items():
        tree[identity].parent = parent
    if not tree:
        raise BadConversation("has no messages.")
    _select(tree, selected)
    _join_answers(tree)
    _ask(tree)
    return _messages(tree, new_id)


class _Ascent:
    """Finds the nearest shown node above another, and remembers the way."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._known: dict[str, str | None] = {}

    def nearest(self, identity: str | None) -> str | None:
        """`identity` itself if it is shown, or else the nearest above it, or None if there is none."""
        climbed: dict[str, None] = {}
        at = identity
        while at is not None and at in self._entries and self._entries[at].role is None:
            if at in self._known or at in climbed:
                at = self._known.get(at)
                break
            climbed[at] = None
            at = self._entries[at].parent
        found = at if at in self._entries else None
        self._known.update(dict.fromkeys(climbed, found))
        return found


def _without_circles(parents: dict[str, str | None]) -> dict[str, str | None]:
    """The same, with every circle cut where it is met first."""
    done: set[str] = set()
    for identity in parents:
        walk: set[str] = set()
        at: str | None = identity
        while at is not None and at not in done:
            walk.add(at)
            above = parents[at]
            if above in walk:
                parents[at] = above = None
            at = above
        done |= walk
    return parents


def _children(tree: Mapping[str, Entry]) -> dict[str | None, list[str]]:
    children: dict[str | None, list[str]] = defaultdict(list)
    for identity, entry in tree.items():
        children[entry.parent].append(identity)
    return children


def _select(tree: Mapping[str, Entry], current: str | None) -> None:
    """Of each node's children, select the one that leads to `current`, or else the newest."""
    wanted: set[str | None] = set()
    while current is not None:
        wanted.add(current)
        current = tree[current].parent
    for siblings in _children(tree).values():
        leading = [each for each in siblings if each in wanted]
        newest = max(siblings, key=lambda each: (tree[each].at or 0.0, tree[each].place))
        tree[leading[0] if leading else newest].selected = True


def _join_answers(tree: dict[str, Entry]) -> None:
    """Make one answer of those that follow each other, as they do around the calls of tools, which are not shown.

    Afterwards no answer follows an answer. One that is followed by questions as well stays for them, beside its others.
    """
    children = _children(tree)
    chars = sum(len(part) for entry in tree.values() for part in entry.text)
    waiting = list(children[None])
    while waiting:
        identity = waiting.pop()
        entry, following = tree[identity], children.get(identity, ())
        waiting += following
        answers = [child for child in following if tree[child].role == "ai"] if entry.role == "ai" else []
        alone = len(answers) == len(following) == 1
        if answers and not alone:
            chars += len(answers) * sum(map(len, entry.text + entry.reasoning))
        if chars > MAX_CHARS:
            raise BadConversation("has answers in so many versions that they do not fit into memory.")
        if len(answers) < len(following) and any(tree[child].selected for child in answers):
            next(tree[child] for child in reversed(following) if child not in answers).selected = True
        for child in answers:
            _continue(entry, tree[child], alone=alone)
        if answers and len(answers) == len(following):
            del tree[identity]
        elif any(tree[child].selected for child in answers):
            entry.selected = False


def _continue(entry: Entry, child: Entry, *, alone: bool) -> None:
    """Put `entry` before `child`, whose part of an answer it is. Its lists are the child's, if that is `alone`."""
    texts, reasonings = (entry.text, entry.reasoning) if alone else (list(entry.text), list(entry.reasoning))
    texts += child.text
    reasonings += child.reasoning
    child.text, child.reasoning = texts, reasonings
    child.parent, child.place = entry.parent, entry.place
    child.selected = child.selected and entry.selected
    child.at = child.at if entry.at is None else entry.at
    child.model = child.model or entry.model


def _ask(tree: dict[str, Entry]) -> None:
    """Give answers to nothing, such as a greeting, a question to stand below: every answer here has one."""
    greetings = [entry for entry in tree.values() if entry.parent is None and entry.role == "ai"]
    if not greetings:
        return
    question = NO_QUESTION
    while question in tree:
        question += "'"
    first = min(greetings, key=lambda entry: entry.place)
    selected = any(entry.selected for entry in greetings)
    tree[question] = Entry(None, "user", text=["…"], at=first.at, place=first.place, selected=selected)
    if not selected:
        greetings[-1].selected = True
    for entry in greetings:
        entry.parent = question


def _messages(tree: Mapping[str, Entry], new_id: Callable[[], str]) -> list[SnapshotMessage]:
    children = _children(tree)
    ids = {identity: new_id() for identity in tree}
    numbers = {identity: number for number, identity in enumerate(tree)}
    messages: list[SnapshotMessage] = []
    ready: list[tuple[float, int, int, str]] = []

    def release(parent: str | None, since: float) -> None:
        for child in children.get(parent, ()):
            heapq.heappush(ready, (max(tree[child].at or since, since), tree[child].place, numbers[child], child))

    release(None, 0.0)
    while ready:
        since, _, _, identity = heapq.heappop(ready)
        answers = [ids[child] for child in children.get(identity, ()) if tree[child].role == "ai"]
        messages.append(_message(tree[identity], ids, identity, answers[0] if answers else None))
        release(identity, since)
    return messages


def _message(entry: Entry, ids: Mapping[str, str], identity: str, answer: str | None) -> SnapshotMessage:
    assert entry.role is not None
    said = {
        "id": ids[identity],
        "parent_id": None if entry.parent is None else ids[entry.parent],
        "message": "\n\n".join(entry.text),
        "selected": entry.selected,
        "at": entry.at,
    }
    if entry.role == "user":
        return SnapshotMessage(role="user", run=answer, **said)
    return SnapshotMessage(
        role="ai",
        reasoning="\n\n".join(entry.reasoning) or None,
        finish_reason=None if entry.error else entry.finish_reason,
        error=entry.error,
        model=entry.model,
        usage=entry.usage,
        timings=entry.timings,
        **said,
    )
