from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.exchange.draft import Draft, Problem
from server.exchange.reading import read

DATA = Path(__file__).parent / "data"


def drafts(data: bytes) -> list[Draft]:
    found = list(read(data, now=1_800_000_000.0))
    assert not [outcome for outcome in found if isinstance(outcome, Problem)]
    return [outcome for outcome in found if isinstance(outcome, Draft)]


def conversation(*messages: dict[str, Any], **more: Any) -> bytes:
    """A conversation in which these messages follow each other."""
    mapping = {
        str(number): {"id": str(number), "parent": str(number - 1) if number else None, "children": [], "message": said}
        for number, said in enumerate(messages)
    }
    return json.dumps([{"title": "T", "mapping": mapping, **more}]).encode()


def said(role: str, *parts: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": kind, "parts": list(parts)}, **more}


def code(language: str, text: str) -> dict[str, Any]:
    content = {"content_type": "code", "language": language, "text": text}
    return {"author": {"role": "assistant"}, "content": content}


def test_an_export_with_branches_comes_in() -> None:
    bread, cat = drafts((DATA / "chatgpt.json").read_bytes())
    assert (bread.about.title, bread.about.titled, bread.about.pinned) == ("Bread at altitude", True, True)
    assert (bread.about.created_at, bread.about.updated_at) == (1718000000.5, 1718000900.25)
    assert (bread.source, bread.source_id) == ("chatgpt", "6666aaaa-0000-4000-8000-000000000001")
    question, first, second = bread.messages
    assert question.message == "[Image]\n\nWhy does my dough rise too fast up here?\n\n[File: dough.jpg]"
    assert (question.role, question.parent_id, question.at) == ("user", None, 1718000010.0)
    assert (first.message, first.model, first.finish_reason) == ("The air is thin.", "gpt-4", "length")
    assert (first.selected, second.selected) == (False, True)
    assert (second.message, second.model, second.at) == ("Take a quarter less yeast.", "o3", 1718000030.0)
    assert second.reasoning == "**Pressure**\n\nGas expands more where the air is thin.\n\nSo less yeast."
    assert first.parent_id == second.parent_id == question.id
    assert (cat.about.title, cat.about.titled) == ("Draw a cat", False)
    assert [message.message for message in cat.messages] == ["# Draw *a cat*", "[Image: A cat, asleep]"]
    assert cat.messages[1].model == "gpt-5"


def test_ids_are_never_those_of_the_export() -> None:
    for draft in drafts((DATA / "chatgpt.json").read_bytes()):
        assert draft.about.id == ""
        assert all(len(message.id) == 36 and not message.id.startswith("n-") for message in draft.messages)


def test_children_are_found_where_parents_do_not_say() -> None:
    mapping = {
        "a": {"message": said("user", "one"), "children": ["b"]},
        "b": {"message": said("assistant", "two"), "parent": None},
    }
    [draft] = drafts(json.dumps([{"mapping": mapping}]).encode())
    assert draft.messages[1].parent_id == draft.messages[0].id


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (said("user", "a", "b"), "a\n\nb"),
        (said("user", {"content_type": "audio_transcription", "text": "hello"}, kind="multimodal_text"), "hello"),
        (said("user", {"content_type": "audio_asset_pointer"}, kind="multimodal_text"), "[Recording]"),
        (code("python", "a`` ```"), "````python\na`` ```\n````"),
        (code("unknown", "x"), "```\nx\n```"),
        (said("assistant", "x", recipient="python"), None),
        (said("assistant", "x", recipient="all"), "x"),
        (said("assistant", ""), None),
        (said("tool", "x"), None),
        (said("system", "x"), None),
        (said("assistant", "x", metadata={"is_visually_hidden_from_conversation": True}), None),
        (said("assistant", "x", metadata=None), "x"),
        (said("assistant", 3, None, ["x"]), None),
        (said("assistant", "it is\ue200cite\ue202turn0\ue201 so"), "it is so"),
        ({"author": None, "content": "x"}, None),
        ({"author": {"role": "assistant"}, "content": {"content_type": "new_kind", "text": "x"}}, "x"),
    ],
)  # fmt: skip
def test_each_kind_of_message_is_shown_or_passed_over(message: dict[str, Any], shown: str | None) -> None:
    [draft] = drafts(conversation(said("user", "first"), message))
    assert [each.message for each in draft.messages[1:]] == ([shown] if shown else [])


def test_an_answer_that_was_being_written_is_interrupted() -> None:
    [draft] = drafts(conversation(said("user", "?"), said("assistant", "Well", status="in_progress")))
    assert draft.messages[1].finish_reason == "interrupted"


def test_without_times_it_is_from_now() -> None:
    [draft] = drafts(conversation(said("user", "?"), create_time="NaN", update_time=-1))
    assert draft.about.created_at == draft.about.updated_at == 1_800_000_000.0


@pytest.mark.parametrize("mapping", [None, [], "x", 3])
def test_a_mapping_that_is_none_is_named(mapping: object) -> None:
    good = json.loads(conversation(said("user", "?")))
    bad, other = read(json.dumps([{"title": "Bad", "mapping": mapping}, *good]).encode(), now=0.0)
    assert isinstance(bad, Problem)
    assert bad.reason == "Conversation 1 (“Bad”) mapping is not an object."
    assert isinstance(other, Draft)
