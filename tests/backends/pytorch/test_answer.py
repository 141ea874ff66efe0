from __future__ import annotations

import asyncio

import pytest

from backends.base import BackendFailed, Done, Event, Progress, Text
from backends.pytorch.answer import Answer
from engine.output import StepOutput


def events_of(*outputs: StepOutput, choices: int = 1) -> list[Event]:
    """The events of an answer that is given these outputs, one a step."""

    async def collect() -> list[Event]:
        answer = Answer(arrived=0.0, choices=choices)
        for output in outputs:
            answer.take(output, step_started=1.0)
        return [event async for event in answer.events()]

    return asyncio.run(collect())


def read(prefilled: int, cached: int = 0) -> StepOutput:
    return StepOutput("r", prefilled=prefilled, prompt_tokens=600, cached=cached)


def wrote(*token_ids: int, text: str = "", end: bool = False, index: int = 0) -> StepOutput:
    """The last of the tokens has the text."""
    return wrote_each(token_ids, (*[""] * (len(token_ids) - 1), text), end=end, index=index)


def wrote_each(token_ids: tuple[int, ...], texts: tuple[str, ...], end: bool = False, index: int = 0) -> StepOutput:
    reason = "stop" if end else None
    return StepOutput("r", index, token_ids, texts, finish_reason=reason, prefilled=600, prompt_tokens=600, cached=512)


def test_reading_is_told_with_what_was_remembered() -> None:
    events = events_of(read(520, 512), read(590, 512), wrote(1, text="a"), wrote(2, text="b", end=True))
    progress = [event for event in events if isinstance(event, Progress)]
    assert [(event.done, event.total, event.cached) for event in progress] == [
        (520, 600, 512),
        (590, 600, 512),
        (600, 600, 512),
    ], "told once a step and no more when it has been read"
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.usage.prompt_tokens, done.usage.cached_tokens, done.usage.completion_tokens) == (600, 512, 2)


def test_a_step_may_give_several_tokens() -> None:
    events = events_of(wrote(1, 2, 3, text="abc"), wrote(4, 5), wrote(6, text="de", end=True))
    texts = [event for event in events if isinstance(event, Text)]
    assert [(event.text, event.token_ids) for event in texts] == [("abc", (1, 2, 3)), ("de", (4, 5, 6))]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.usage.completion_tokens == 6


def test_each_of_several_tokens_of_a_step_has_its_own_text() -> None:
    events = events_of(wrote_each((1, 2, 3, 4), ("a", "", "bc", "")), wrote(5, text="d", end=True))
    texts = [event for event in events if isinstance(event, Text)]
    assert [(event.text, event.token_ids) for event in texts] == [("a", (1,)), ("bc", (2, 3)), ("d", (4, 5))]


def test_each_of_several_choices_has_its_own_text_and_end() -> None:
    events = events_of(
        wrote(1, text="a", index=0),
        wrote(2, text="b", index=1),
        wrote(3, text="c", end=True, index=1),
        wrote(4, text="d", index=0),
        wrote(5, text="e", end=True, index=0),
        choices=2,
    )
    texts = [(event.index, event.text) for event in events if isinstance(event, Text)]
    assert texts == [(0, "a"), (1, "b"), (1, "c"), (0, "d"), (0, "e")]
    ends = [(event.index, event.usage.completion_tokens) for event in events if isinstance(event, Done)]
    assert ends == [(1, 2), (0, 3)]
    assert sum(isinstance(event, Progress) for event in events) == 1, "the prompt is read once for all"


def test_a_failure_comes_after_what_was_given_before() -> None:
    async def scenario() -> None:
        answer = Answer(arrived=0.0)
        answer.take(wrote(1, text="a"), 0.5)
        answer.fail(BackendFailed("It broke."))
        events = answer.events()
        assert isinstance(await anext(events), Progress)
        assert isinstance(await anext(events), Text)
        with pytest.raises(BackendFailed, match="It broke"):
            await anext(events)

    asyncio.run(scenario())
