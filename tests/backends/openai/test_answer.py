"""What an OpenAI-compatible server's answer may look like, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from backends.base import Backend, BackendFailed, ModelsChanged, Notice, Text, ToolCalls
from tests.backends.asking import WEATHER_TOOL, ask, done_of, events_of, reasoning_of, text_of
from tests.backends.double import Act, Reply, ServerDouble
from tests.backends.openai.double import CHAT, MODEL, STREAM, delta, events, trace
from tests.backends.openai.test_faults import OPENAI

told = OPENAI.told


def request(**fields: Any) -> Any:
    return ask(**{"model": MODEL, **fields})


# However the answer ends


@pytest.mark.parametrize(
    ("reason", "told_reason"),
    [("stop", "stop"), ("length", "length"), ("eos", "stop"), ("model_length", "length"), ("tool_calls", "tool_calls")],
)
def test_the_reason_for_the_end_is_told_in_our_words(reason: str, told_reason: str) -> None:
    answered, error = told(events(delta(content="Hi"), delta(reason)))
    assert error is None
    assert done_of(answered).finish_reason == told_reason


@pytest.mark.parametrize("reason", ["content_filter", "abort", "error"])
def test_an_end_that_is_none_of_the_models_own_is_an_error(reason: str) -> None:
    answered, error = told(events(delta(content="Hi"), delta(reason)))
    assert text_of(answered) == "Hi"
    assert isinstance(error, BackendFailed)


def test_the_word_at_the_end_ends_an_answer_that_gives_no_reason() -> None:
    answered, error = told(events(delta(content="Hi")))
    assert error is None
    assert done_of(answered).finish_reason == "stop"


def test_a_reason_ends_an_answer_whose_last_word_never_comes() -> None:
    whole = events(delta(content="Hi"), delta("stop"), end=b"")
    for ending in ((), (Act.CUT,), (Act.RESET,), (b"data: nonsense\n\n",)):
        answered, error = told(Reply(200, STREAM, [*whole.steps, *ending]))
        assert error is None
        assert (text_of(answered), done_of(answered).finish_reason) == ("Hi", "stop")


def test_a_chunk_may_lack_anything() -> None:
    bare: list[dict[str, object]] = [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"delta": None}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": "none", "reasoning": None}, "logprobs": 7}]},
        {"choices": [], "usage": {"prompt_tokens": "many"}},
        {"usage": None, "timings": []},
    ]
    answered, error = told(events(*bare, delta("stop")))
    assert error is None
    assert answered == [done_of(answered)]


def test_text_and_the_reason_for_the_end_may_come_together() -> None:
    """As vLLM sends them, with the role in a chunk of its own and a word more than OpenAI's."""
    last = {"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop", "stop_reason": None}]}
    answered, error = told(events(delta(role="assistant", content=""), delta(content="Hi"), last))
    assert error is None
    assert (text_of(answered), done_of(answered).finish_reason) == ("Hi!", "stop")


def test_an_end_without_any_sign_is_a_cut() -> None:
    """Ollama's `/v1` loses an error of its model: an empty chunk, and no more."""
    answered, error = told(events(delta(content="Hi"), {"model": "", "choices": []}, end=b""))
    assert text_of(answered) == "Hi"
    assert isinstance(error, BackendFailed)
    assert "cut off" in error.message


def test_an_error_before_the_word_at_the_end_is_an_error() -> None:
    answered, error = told(events(delta(content="Hi"), {"error": {"message": "Out of blocks.", "code": 500}}))
    assert text_of(answered) == "Hi"
    assert isinstance(error, BackendFailed)


def test_the_role_alone_is_no_beginning_of_an_answer() -> None:
    """Servers that send it before they have read the prompt are given the time that reading takes."""
    begun = events(delta(role="assistant", content=""), end=b"")
    reply = Reply(200, STREAM, [*begun.steps, 0.3, *events(delta(content="Hi"), delta("stop")).steps])
    answered, error = told(reply, idle_timeout=0.1)
    assert error is None
    assert text_of(answered) == "Hi"


def test_only_the_first_choice_is_read() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "No"}}]}
    answered, _ = told(events(delta(content="Hi"), second, delta("stop")))
    assert text_of(answered) == "Hi"


# Figures


@pytest.mark.parametrize("place", ["on the last piece", "in a chunk of its own", "in every chunk"])
def test_the_usage_may_come_anywhere(place: str) -> None:
    usage = {"usage": {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}}
    chunks = {
        "on the last piece": [delta(content="Hi"), {**delta("stop"), **usage}],
        "in a chunk of its own": [delta(content="Hi"), delta("stop"), {"choices": [], **usage}],
        "in every chunk": [{**delta(content="Hi"), **usage}, {**delta("stop"), **usage}],
    }
    answered, _ = told(events(*chunks[place]))
    told_usage = done_of(answered).usage
    assert (told_usage.prompt_tokens, told_usage.cached_tokens, told_usage.completion_tokens) == (9, 8, 2)


def test_an_answer_without_usage_is_whole() -> None:
    answered, error = told(events(delta(content="Hi"), delta("stop")))
    assert error is None
    assert done_of(answered).usage.completion_tokens == 0


def test_the_probabilities_of_tokens_come_with_their_text() -> None:
    answered, _ = told(trace("llama.cpp/chat_logprobs"), request(logprobs=2))
    texts = [event for event in answered if isinstance(event, Text)]
    assert [piece.text for piece in texts] == ["The", " capital"]
    for piece in texts:
        assert piece.logprobs is not None
        [token] = piece.logprobs
        assert (token.text, token.data) == (piece.text, piece.text.encode())
        assert piece.token_ids == (token.token_id,)
        assert token.logprob <= 0
        assert len(token.top) == 2


# Thinking


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thinking_comes_by_either_name(name: str) -> None:
    answered, _ = told(events(delta(**{name: "Hm."}), delta(content="<think> is a tag."), delta("stop")))
    assert (reasoning_of(answered), text_of(answered)) == ("Hm.", "<think> is a tag.")


def test_a_model_that_was_seen_to_think_is_listed_as_one_that_does() -> None:
    async def main(double: ServerDouble, backend: Backend) -> list[bool]:
        notices: list[Notice] = []
        backend.notify = notices.append
        seen = ["thinking" in (await backend.list_models())[0].capabilities]
        for _ in range(2):
            double.will(CHAT, events(delta(reasoning="Hm."), delta(content="Hi"), delta("stop")))
            await events_of(backend, request())
        assert notices == [ModelsChanged()]
        return [*seen, "thinking" in (await backend.list_models())[0].capabilities]

    assert OPENAI.with_double(main) == [False, True]


def test_thinking_that_comes_by_both_names_is_told_once() -> None:
    answered, _ = told(events(delta(reasoning="Hm.", reasoning_content="Hm."), delta(content="Hi"), delta("stop")))
    assert reasoning_of(answered) == "Hm."


def test_thinking_between_tags_is_parted_from_the_answer() -> None:
    pieces = ["<th", "ink>\nLet me", " see.</", "think>\n\n", "Par", "is."]
    answered, _ = told(events(*(delta(content=piece) for piece in pieces), delta("stop")))
    assert (reasoning_of(answered), text_of(answered)) == ("Let me see.", "Paris.")


# Tools


def calls_in(*fragments: dict[str, object], reason: str = "tool_calls") -> list[Any]:
    chunks = [delta(tool_calls=[fragment]) for fragment in fragments]
    answered, error = told(events(*chunks, delta(reason)), request(tools=(WEATHER_TOOL,)))
    assert error is None, error
    return [call for event in answered if isinstance(event, ToolCalls) for call in event.calls]


def test_calls_in_fragments_are_joined_by_their_index() -> None:
    found = calls_in(
        {"index": 0, "id": "a", "type": "function", "function": {"name": "get_weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"ci'}},
        {"index": 1, "id": "b", "function": {"name": "get_weather", "arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": 'ty": "Paris"}'}},
        {"index": 1, "function": {"arguments": '"Rome"}'}},
    )
    assert found == [
        {"id": "a", "name": "get_weather", "arguments": {"city": "Paris"}},
        {"id": "b", "name": "get_weather", "arguments": {"city": "Rome"}},
    ]


def test_whole_calls_with_one_index_are_told_apart_by_their_ids() -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    for index in ({"index": 0}, {}):
        found = calls_in({**index, "id": "a", "function": function}, {**index, "id": "b", "function": function})
        assert [call["id"] for call in found] == ["a", "b"]


def test_arguments_may_be_an_object_and_an_id_may_be_missing() -> None:
    [call] = calls_in({"index": 0, "function": {"name": "get_weather", "arguments": {"city": "Paris"}}})
    assert call["arguments"] == {"city": "Paris"}
    assert call["id"]


def test_a_call_that_the_limit_cut_is_left_out() -> None:
    fragment: dict[str, object] = {"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": '{"ci'}}
    assert calls_in(fragment, reason="length") == []


def test_a_call_that_cannot_be_read_is_an_error() -> None:
    fragment = {"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": "{oops"}}
    _, error = told(events(delta(tool_calls=[fragment]), delta("tool_calls")), request(tools=(WEATHER_TOOL,)))
    assert isinstance(error, BackendFailed)
