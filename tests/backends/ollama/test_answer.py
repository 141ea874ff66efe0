from typing import Any

import pytest

from backends.base import BackendFailed, Usage
from backends.ollama.answer import Answer
from tests.backends.asking import MODEL, text_of


def test_usage_and_speed_come_from_the_last_line() -> None:
    answer = Answer(MODEL, split_tags=True)
    last = {"done": True, "prompt_eval_count": 16, "eval_count": 8, "eval_duration": 500_000_000}
    assert list(answer.feed(last)) == []
    assert answer.usage == Usage(prompt_tokens=16, completion_tokens=8)
    assert answer.tokens_per_second == 16


def test_no_speed_is_told_where_none_was_measured() -> None:
    answer = Answer(MODEL, split_tags=True)
    list(answer.feed({"done": True, "eval_count": 8}))
    assert answer.tokens_per_second is None


@pytest.mark.parametrize(
    ("arguments", "read"),
    [({"city": "Paris"}, {"city": "Paris"}), ('{"city": "Paris"}', {"city": "Paris"}), (None, {}), ("", {})],
)
def test_arguments_may_be_an_object_or_its_text(arguments: object, read: dict[str, Any]) -> None:
    answer = Answer(MODEL, split_tags=True)
    call = {"id": "call_1", "function": {"name": "f", "arguments": arguments}}
    (event,) = answer.feed({"message": {"tool_calls": [call]}})
    assert event.calls == ({"id": "call_1", "name": "f", "arguments": read},)  # type: ignore[union-attr]


@pytest.mark.parametrize("call", [None, {}, {"function": {}}, {"function": {"name": "f", "arguments": "{"}}])
def test_a_call_that_cannot_be_read_is_a_failure(call: object) -> None:
    with pytest.raises(BackendFailed, match="called a tool"):
        list(Answer(MODEL, split_tags=True).feed({"message": {"tool_calls": [call]}}))


def test_calls_without_ids_get_ids_of_their_own() -> None:
    answer = Answer(MODEL, split_tags=True)
    calls = [{"function": {"name": "f"}}, {"function": {"name": "f"}}]
    (event,) = answer.feed({"message": {"tool_calls": calls}})
    ids = {call["id"] for call in event.calls}  # type: ignore[union-attr]
    assert len(ids) == 2
    list(answer.feed({"done": True, "done_reason": "stop"}))
    assert answer.finish_reason == "tool_calls"


def test_an_empty_error_is_no_error() -> None:
    answer = Answer(MODEL, split_tags=True)
    assert text_of(list(answer.feed({"error": None, "message": {"content": "Hi"}}))) == "Hi"
