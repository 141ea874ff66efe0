"""An answer whose server died goes on after any of the pieces that were kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import Done, Event, Params, Text, Unsupported
from backends.pytorch.adapter import PyTorchBackend
from tests.backends.pytorch.serving import error_of, events_of, request, started, text_of, within


def pieces_of(events: list[Event]) -> list[Text]:
    return [event for event in events if isinstance(event, Text)]


def end_of(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done)
    return events[-1]


async def assert_goes_on_after_any_piece(backend: PyTorchBackend, params: Params, resume_text: str = "") -> list[Event]:
    asked = request(params=params, resume_text=resume_text)
    whole = await events_of(backend, asked)
    pieces = pieces_of(whole)
    for kept in range(len(pieces) + 1):
        tokens = tuple(token for piece in pieces[:kept] for token in piece.token_ids)
        events = await events_of(backend, replace(asked, resume_token_ids=tokens))
        assert text_of(list(pieces[:kept])) + text_of(events) == text_of(whole)
        done, expected = end_of(events), end_of(whole)
        assert done.finish_reason == expected.finish_reason
        assert done.usage.prompt_tokens == expected.usage.prompt_tokens
        assert done.usage.completion_tokens == expected.usage.completion_tokens
    return whole


@pytest.mark.parametrize(
    "params",
    [
        Params(temperature=0, max_tokens=30),
        Params(temperature=1.5, top_p=1.0, top_k=0, seed=3, max_tokens=60),
        Params(temperature=4.0, top_p=1.0, top_k=0, seed=2**31 - 1, max_tokens=120),
    ],
    ids=["greedy", "sampled", "wild"],
)
@pytest.mark.parametrize("resume_text", ["", "Well, né"], ids=["", "continued"])
def test_an_answer_goes_on_after_any_piece(folder: Path, params: Params, resume_text: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            await assert_goes_on_after_any_piece(backend, params, resume_text)

    within(test)


def test_an_answer_that_ended_at_a_stop_string_does_so_after_any_piece(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            params = Params(temperature=1.5, top_p=1.0, top_k=0, seed=3, max_tokens=60)
            text = text_of(await events_of(backend, request(params=params)))
            whole = await assert_goes_on_after_any_piece(backend, replace(params, stop=(text[20:23],)))
            assert end_of(whole).finish_reason == "stop"
            assert text_of(whole) == text[: text.index(text[20:23])]

    within(test)


def test_the_pace_is_that_of_what_is_written_here(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            tokens = tuple(range(70, 120))
            whole = end_of(await events_of(backend, request(params=Params(temperature=0, max_tokens=50))))
            assert whole.timings.tokens_per_second is not None
            asked = request(params=Params(temperature=0, max_tokens=51), resume_token_ids=tokens)
            one = end_of(await events_of(backend, asked))
            assert one.usage.completion_tokens == 51
            assert one.timings.tokens_per_second in (None, 0.0), "a single token has no pace"
            assert one.timings.ttft_ms is not None
            none = end_of(await events_of(backend, replace(asked, params=Params(temperature=0, max_tokens=50))))
            assert (none.usage.completion_tokens, none.finish_reason) == (50, "length")
            assert none.timings.tokens_per_second is None
            assert none.timings.ttft_ms is None

    within(test)


def test_how_far_an_answer_is_read_again_shows(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            asked = request(prompt="x" * 100, params=Params(temperature=0, max_tokens=520))
            events = await events_of(backend, replace(asked, resume_token_ids=(70,) * 500))
            read = [event for event in events if getattr(event, "phase", "") == "prefill"]
            assert [(event.done, event.total) for event in read] == [(256, 600), (512, 600), (600, 600)]

    within(test)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"resume_token_ids": (1,), "n": 2}, "Only one answer"), ({"resume_token_ids": (99_999,)}, "token id")],
)
def test_what_cannot_be_resumed_is_named(folder: Path, changes: dict[str, object], sentence: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, request(**changes))
            assert isinstance(error, Unsupported)
            assert sentence in error.message

    within(test)
