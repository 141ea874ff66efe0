"""The model that recites says what is known beforehand, and goes on where it was cut."""

from __future__ import annotations

import asyncio

import pytest

from backends.base import Done, GenerationRequest, Message, Params, Reasoning, Text
from tests.faults.backends import LENGTH, MODEL, Recital, recital, text_of
from tests.server.doubles import turn_over

PROMPT = "user: Go"


def ask(**more: object) -> GenerationRequest:
    fields: dict[str, object] = {"request_id": "r", "model": MODEL, "messages": (Message("user", "Go"),), **more}
    return GenerationRequest(**fields)  # type: ignore[arg-type]


async def said(backend: Recital, request: GenerationRequest) -> tuple[str, list[int], Done]:
    """The text, the tokens and the end."""
    events = [event async for event in backend.generate(request)]
    pieces = [event for event in events if isinstance(event, Text | Reasoning)]
    done = events[-1]
    assert isinstance(done, Done)
    return "".join(piece.text for piece in pieces), [token for piece in pieces for token in piece.token_ids], done


def test_an_answer_is_two_hundred_tokens_of_which_many_end_within_a_character() -> None:
    tokens = recital(PROMPT)
    assert len(tokens) == LENGTH
    assert text_of(tokens).encode() == b"".join(tokens)
    cut = [end for end in range(LENGTH) if len(text_of(tokens[:end]).encode()) < len(b"".join(tokens[:end]))]
    assert len(cut) > LENGTH / 4
    assert recital("user: Stop") != tokens


@pytest.mark.parametrize("cut", [0, 1, 57, 199, 200])
def test_an_answer_goes_on_from_any_token(cut: int) -> None:
    async def scenario() -> None:
        text, ids, done = await said(Recital(), ask(resume_token_ids=tuple(range(cut))))
        assert text_of(recital(PROMPT)[:cut]) + text == text_of(recital(PROMPT))
        assert ids == list(range(cut, LENGTH))
        assert done.usage.completion_tokens == LENGTH

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [1, 20, 100])
def test_an_answer_that_was_too_long_is_continued_after_its_text(length: int) -> None:
    async def scenario() -> None:
        backend = Recital()
        begun, _, done = await said(backend, ask(params=Params(max_tokens=length)))
        assert done.finish_reason == "length"
        rest, _, done = await said(backend, ask(resume_text=begun))
        assert begun + rest == text_of(recital(PROMPT))
        assert done.finish_reason == "stop"

    asyncio.run(scenario())


def test_nothing_is_said_that_was_not_allowed() -> None:
    async def scenario() -> None:
        backend = Recital()
        backend.pace.hold()
        answering = asyncio.create_task(said(backend, ask()))
        await turn_over()
        assert backend.said == {"r": 0}
        backend.pace.allow(3)
        await turn_over()
        assert backend.said == {"r": 3}
        backend.pace.free()
        assert (await answering)[0] == text_of(recital(PROMPT))

    asyncio.run(scenario())
