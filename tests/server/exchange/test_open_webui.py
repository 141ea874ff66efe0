from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.exchange.draft import Draft, Problem
from server.exchange.reading import read
from server.protocol import UsageInfo

DATA = Path(__file__).parent / "data"


def drafts(data: bytes) -> list[Draft]:
    found = list(read(data, now=1_800_000_000.0))
    assert not [outcome for outcome in found if isinstance(outcome, Problem)]
    return [outcome for outcome in found if isinstance(outcome, Draft)]


def answered(**message: Any) -> Draft:
    """A chat with one question and this answer."""
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", **message}]
    [draft] = drafts(json.dumps([{"chat": {"title": "T", "messages": messages}}]).encode())
    return draft


def test_an_export_with_branches_comes_in() -> None:
    rivers, refused = drafts((DATA / "open_webui.json").read_bytes())
    assert (rivers.about.title, rivers.about.pinned) == ("Rivers", True)
    assert (rivers.about.created_at, rivers.about.updated_at) == (1719000000.0, 1719000500.0)
    assert rivers.about.settings == {"params": {"temperature": 0.2, "system": "Answer in one line."}}
    question, nile, thought, widest, plata = rivers.messages
    assert question.message == "Which river is the longest?\n\n[File: rivers.csv]"
    assert (nile.message, nile.model, nile.selected, nile.at) == ("The Nile.", "llama3.2:3b", True, 1719000002.0)
    assert nile.usage == UsageInfo(prompt_tokens=31, cached_tokens=8, completion_tokens=4)
    assert nile.timings is not None
    assert (nile.timings.total_ms, nile.timings.tokens_per_second) == (350.0, 20.0)
    assert (thought.selected, thought.parent_id) == (False, question.id)
    assert thought.message == "The Nile, says\n\n[Tool: atlas]\n\nthe atlas."
    assert thought.reasoning == "Nile or Amazon?\nNile & done."
    assert (widest.message, widest.parent_id) == ("And the widest?\n\n[Image]", nile.id)
    assert (plata.message, plata.reasoning) == ("The Río de la Plata.", "Wide means width.")
    assert plata.finish_reason == "interrupted"
    failed = refused.messages[1]
    assert failed.error is not None
    assert (failed.error.message, failed.finish_reason, failed.model) == (
        "The model is not there.",
        None,
        "gone:latest",
    )


def test_an_older_export_is_a_line_of_messages() -> None:
    [draft] = drafts((DATA / "open_webui_old.json").read_bytes())
    assert draft.about.created_at == 1701000000.0
    assert draft.about.settings == {"params": {"system": "Speak like a sailor."}}
    north, chart, thanks = draft.messages
    assert (chart.message, chart.reasoning, chart.parent_id) == ("Up the chart.", "Compass.", north.id)
    assert chart.usage == UsageInfo(prompt_tokens=5, completion_tokens=6)
    assert thanks.parent_id == chart.id


def test_one_chat_without_a_list_around_it_comes_in_as_well() -> None:
    chat = json.loads((DATA / "open_webui.json").read_bytes())[0]
    assert len(drafts(json.dumps(chat).encode())) == 1
    assert len(drafts(json.dumps(chat["chat"]).encode())) == 1


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("plain", "plain", None),
        ('<details type="reasoning" done="false">\n<summary>Thinking…</summary>\n> a\n> b', "", "a\nb"),
        ('<details type="reasoning"><summary>x</summary>one</details>a<details type="reasoning">two</details>b',
         "a\n\nb", "one\n\ntwo"),
        ("<think>a</think>b<think>c</think>", "b<think>c</think>", "a"),
        ("<thinking>never closed", "", "never closed"),
        ('<details type="code_interpreter" done="true">x</details>', "[Code]", None),
        ("<details><summary>mine</summary>x</details>", "<details><summary>mine</summary>x</details>", None),
    ],
)  # fmt: skip
def test_reasoning_is_taken_out_of_the_text(content: str, text: str, reasoning: str | None) -> None:
    answer = answered(content=content).messages[1]
    assert (answer.message, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize("error", [True, "No.", {"content": "No."}, {"message": "No."}, {"content": {}}, [1]])
def test_a_failed_answer_says_why_as_far_as_it_is_known(error: object) -> None:
    failed = answered(content="", error=error).messages[1].error
    assert failed is not None
    assert failed.message in ("No.", "The answer failed.")


@pytest.mark.parametrize(
    "fields",
    [
        {"content": {"a": 1}, "output": [{"type": "message", "content": "x"}, 3], "error": "e"},
        {"content": [None, 3, "x", {"type": "text", "text": 5}, {"type": "text", "text": "ok"}]},
        {"content": "x", "usage": {"prompt_tokens": -1, "completion_tokens": 1e400}},
        {"content": "x", "usage": "many", "info": [], "files": {"a": 1}, "timestamp": [], "model": {}},
        {"content": "x", "info": {"total_duration": 1, "eval_duration": 0, "eval_count": 5}},
        {"content": "x", "childrenIds": "abc", "parentId": 7},
    ],
)
def test_fields_of_the_wrong_kind_say_nothing(fields: dict[str, Any]) -> None:
    assert len(answered(**fields).messages) == 2


def test_messages_that_are_no_object_are_named() -> None:
    [problem] = read(b'[{"title": "Bad", "chat": {"history": {"messages": [1]}}}]', now=0.0)
    assert isinstance(problem, Problem)
    assert problem.reason == "Conversation 1 (“Bad”) history.messages is not an object."


def test_openings_that_never_close_take_no_time() -> None:
    opening = '<details type="reasoning">'
    assert answered(content=opening * 50_000 + "end").messages[1].reasoning is not None
    assert answered(content='<details type="reasoning"' * 50_000 + "end").messages[1].message
