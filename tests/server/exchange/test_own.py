from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from server.exchange.draft import DocumentError, Draft, Problem, fingerprint
from server.exchange.own import document, told
from server.exchange.reading import read
from server.history.records import Piece, RunRecord, Stored
from tests.server.exchange.conversations import ai, conversation, stored, user

TEA = conversation(user("q", "Tea?"), ai("a", "Yes.", "q"), ai("b", "No.", "q", selected=False))


def read_one(data: bytes) -> Draft | Problem:
    [outcome] = read(data, now=0.0)
    return outcome


def changed(**fields: Any) -> bytes:
    """The document of a small conversation, with other fields in it."""
    whole = json.loads(document(TEA, 0.0))
    whole["sessions"][0].update(fields)
    return json.dumps(whole).encode()


def with_message(number: int, **fields: Any) -> bytes:
    messages = json.loads(document(TEA, 0.0))["sessions"][0]["messages"]
    messages[number].update(fields)
    return changed(messages=messages)


@settings(max_examples=60)
@given(stored())
def test_what_was_written_is_read_again(kept: Stored) -> None:
    draft = read_one(document(kept, 1_700_000_000.0))
    assert isinstance(draft, Draft)
    assert draft.about == kept.about
    assert list(draft.messages) == told(kept)
    assert draft.head == kept.head


def test_a_notice_from_later_moves_the_log_on() -> None:
    draft = read_one(notice_document(90))
    assert isinstance(draft, Draft)
    assert draft.head == 90


def notice_document(number: int) -> bytes:
    notice = {"id": f"notice-{number}", "parent_id": "a", "role": "notice", "message": "From here on b answers."}
    messages = json.loads(document(TEA, 0.0))["sessions"][0]["messages"]
    return changed(messages=[*messages, notice])


def test_the_document_says_what_it_is() -> None:
    whole = json.loads(document(TEA, 12.5))
    assert (whole["format"], whole["version"], whole["exported_at"]) == ("switchboard", 1, 12.5)
    assert list(whole["sessions"][0]) == [
        "id", "title", "titled", "pinned", "created", "updated", "settings", "head", "messages",
    ]  # fmt: skip


def test_a_running_answer_has_its_text_so_far_and_comes_back_interrupted() -> None:
    running = ai("a", "One ", "q", finish_reason=None)
    pieces = [Piece("reasoning", "Hm."), Piece("content", "two "), Piece("content", "three")]
    kept = replace(conversation(user("q", "Count"), running), run=RunRecord("a", {}), pieces=pieces)
    draft = read_one(document(kept, 0.0))
    assert isinstance(draft, Draft)
    answer = draft.messages[1]
    assert (answer.message, answer.reasoning, answer.finish_reason) == ("One two three", "Hm.", "interrupted")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (changed(id=3), "id"),
        (changed(id="x" * 300), "id"),
        (changed(title=None), "title"),
        (changed(title="x" * 201), "title"),
        (changed(created=None), "created"),
        (changed(updated=1e300), "updated"),
        (changed(head=-1), "head"),
        (changed(head=2**64), "head"),
        (changed(settings=[]), "settings"),
        (changed(settings={"a": "x" * 70_000}), "settings"),
        (changed(messages={}), "messages"),
        (changed(messages=[]), "no messages"),
        (changed(messages=[3]), "messages.0"),
        (with_message(0, id=""), "messages.0.id"),
        (with_message(0, id="x" * 65), "messages.0.id"),
        (with_message(0, role="system"), "messages.0.role"),
        (with_message(1, message=None), "messages.1.message"),
        (with_message(1, at="soon"), "messages.1.at"),
        (with_message(1, finish_reason="bored"), "messages.1.finish_reason"),
        (with_message(1, params={"temperature": 9}), "messages.1.params.temperature"),
        (with_message(1, id="q"), "id of messages.1 twice"),
        (with_message(0, parent_id="a"), "no message before messages.0"),
        (with_message(0, parent_id="q"), "no message before messages.0"),
        (with_message(1, parent_id="nowhere"), "no message before messages.1"),
        (with_message(0, role="notice"), "no message before messages.1"),
        (with_message(2, parent_id="a"), "answer to no question in messages.2"),
        (with_message(0, role="ai"), "answer to no question in messages.0"),
        (with_message(2, selected=True), "messages.2 selected beside another"),
    ],
)
def test_a_conversation_that_is_not_right_is_named_with_its_field(data: bytes, says: str) -> None:
    problem = read_one(data)
    assert isinstance(problem, Problem)
    assert says in problem.reason
    assert problem.reason.startswith("Conversation 1")
    assert problem.reason.endswith(".")


def test_a_document_of_a_newer_version_is_left_to_it() -> None:
    data = document(TEA, 0.0).replace(b'"version":1', b'"version":2')
    with pytest.raises(DocumentError, match="newer version"):
        read_one(data)


@pytest.mark.parametrize("name", ["../../etc/passwd", "AB" * 16, "", "ab" * 17])
def test_an_id_that_is_none_of_ours_is_not_taken_over(name: str) -> None:
    draft = read_one(changed(id=name))
    assert isinstance(draft, Draft)
    assert (draft.about.id, draft.source_id) == ("", name)


def test_the_same_messages_under_other_names_are_the_same() -> None:
    draft = read_one(document(TEA, 0.0))
    assert isinstance(draft, Draft)
    others = [
        each.model_copy(update={"id": f"x{each.id}", "parent_id": each.parent_id and f"x{each.parent_id}"})
        for each in draft.messages
    ]
    assert fingerprint(others) == fingerprint(draft.messages)


@pytest.mark.parametrize("difference", [{"message": "Tea!"}, {"reasoning": "Hm."}, {"model": "b/c"}, {"at": 3.0}])
def test_another_text_is_another_conversation(difference: dict[str, Any]) -> None:
    before, after = read_one(document(TEA, 0.0)), read_one(with_message(1, **difference))
    assert isinstance(before, Draft)
    assert isinstance(after, Draft)
    assert fingerprint(before.messages) != fingerprint(after.messages)


def test_another_tree_is_another_conversation() -> None:
    line = [user("a", "1"), user("b", "2", "a"), user("c", "3", "b")]
    fork = [user("a", "1"), user("b", "2", "a"), user("c", "3", "a")]
    assert fingerprint(line) != fingerprint(fork)
