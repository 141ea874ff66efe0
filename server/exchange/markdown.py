"""A conversation as a document for people, in Markdown: the branch that is looked at, then the others.

Every message is in it exactly once. Knows nothing of files, and neither where the conversation comes from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

from backends.base import FinishReason
from server.exchange.containment import contained, plain
from server.exchange.own import told
from server.history.records import Stored
from server.protocol import SnapshotMessage
from server.titles import UNTITLED, title_of

ENDS: dict[FinishReason, str] = {
    "length": "Cut off at the limit of tokens.",
    "cancelled": "Stopped.",
    "interrupted": "Interrupted.",
    "abandoned": "Ended, since nobody was there.",
    "tool_calls": "Ended in a call of a tool.",
}


def markdown(stored: Stored) -> str:
    """The whole document. Times are in UTC."""
    about, tree = stored.about, _Tree(told(stored))
    blocks = [
        f"# {plain(about.title or UNTITLED)}",
        f"*Begun {moment(about.created_at)}, last changed {moment(about.updated_at)}.*",
    ]
    blocks += tree.path(None, 2)
    branches = list(tree.branches())
    if branches:
        blocks += ["## Other branches", *branches]
    return "\n\n".join(block for block in blocks if block) + "\n"


def moment(at: float) -> str:
    """A time for people, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


class _Tree:
    def __init__(self, messages: list[SnapshotMessage]) -> None:
        self._messages = messages
        self._by_id = {message.id: message for message in messages}
        self._selected: dict[str | None, SnapshotMessage] = {}
        self._notices: dict[str | None, list[SnapshotMessage]] = defaultdict(list)
        self._versions: dict[str | None, int] = defaultdict(int)
        self._version: dict[str, int] = {}
        for message in messages:
            if message.role == "notice":
                self._notices[message.parent_id].append(message)
                continue
            self._versions[message.parent_id] += 1
            self._version[message.id] = self._versions[message.parent_id]
            if message.selected:
                self._selected[message.parent_id] = message

    def path(self, parent: str | None, level: int) -> Iterator[str]:
        """The selected messages below `parent`, under headings of that `level`."""
        yield from self._noticed(parent)
        while at := self._selected.get(parent):
            yield from self._told(at, level)
            yield from self._noticed(at.id)
            parent = at.id

    def branches(self) -> Iterator[str]:
        """Each branch that begins beside a selected message, down to its end."""
        for message in self._messages:
            if message.role != "notice" and message is not self._selected.get(message.parent_id):
                parent = self._by_id.get(message.parent_id or "")
                yield f"### After “{plain(title_of(parent.message))}”" if parent else "### From the beginning"
                yield from self._told(message, 4)
                yield from self.path(message.id, 4)

    def _told(self, message: SnapshotMessage, level: int) -> Iterator[str]:
        yield f"{'#' * level} {self._heading(message)}"
        if message.reasoning:
            yield f"<details>\n<summary>Reasoning</summary>\n\n{contained(message.reasoning, level)}\n\n</details>"
        yield contained(message.message, level)
        yield _end(message)

    def _heading(self, message: SnapshotMessage) -> str:
        said = [plain(message.model or "Assistant") if message.role == "ai" else "You"]
        if self._versions[message.parent_id] > 1:
            said.append(f"version {self._version[message.id]} of {self._versions[message.parent_id]}")
        if message.at is not None:
            said.append(moment(message.at))
        return ", ".join(said)

    def _noticed(self, parent: str | None) -> Iterator[str]:
        for notice in self._notices.get(parent, ()):
            yield f"*{plain(' '.join(notice.message.split()))}*"


def _end(message: SnapshotMessage) -> str:
    """How an answer ended, if not well."""
    if message.error:
        return f"*Failed: {plain(' '.join(message.error.message.split()))}*"
    if message.role == "ai" and message.finish_reason is None:
        return "*Still being written.*"
    said = ENDS.get(message.finish_reason) if message.finish_reason else None
    return f"*{said}*" if said else ""
