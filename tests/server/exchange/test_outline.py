from __future__ import annotations

import pytest

from server.exchange.outline import outline
from server.protocol import SnapshotMessage
from tests.server.exchange.conversations import ai, user

TALK = [user("q", "…", at=20.0), ai("a", "Hello. How are you?", "q", at=10.0)]


@pytest.mark.parametrize(
    ("given", "title", "titled"),
    [
        ("Mine", "Mine", True), (" a\n\u202eb ", "a b", True), ("x" * 300, "x" * 200, True),
        (None, "Hello. How are you?", False), ("", "Hello. How are you?", False),
        ("\u200b", "Hello. How are you?", False),
    ],
)  # fmt: skip
def test_the_title_is_the_one_it_had_or_else_what_is_said_first(given: str | None, title: str, titled: bool) -> None:
    about = outline(given, None, None, TALK, 0.0, pinned=False)
    assert (about.title, about.titled) == (title, titled)


@pytest.mark.parametrize(
    ("created", "updated", "messages", "times"),
    [
        (1.0, 2.0, TALK, (1.0, 2.0)), (None, None, TALK, (10.0, 20.0)), (None, 5.0, TALK, (10.0, 10.0)),
        (5.0, None, TALK, (5.0, 20.0)), (None, None, [], (99.0, 99.0)), (None, 7.0, [], (7.0, 7.0)),
        (9.0, 3.0, [], (9.0, 9.0)),
    ],
)  # fmt: skip
def test_times_that_are_not_told_are_those_of_the_messages(
    created: float | None, updated: float | None, messages: list[SnapshotMessage], times: tuple[float, float]
) -> None:
    about = outline(None, created, updated, messages, 99.0, pinned=False)
    assert (about.created_at, about.updated_at) == times
