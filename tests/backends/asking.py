"""Asking a backend, and gathering what it says, in the few words that tests need."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from backends.base import (
    Backend,
    BackendError,
    Done,
    Event,
    GenerationRequest,
    Loading,
    Message,
    Params,
    Progress,
    Reasoning,
    Text,
)

MODEL = "smollm2:135m"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string", "description": "city"}},
        },
    },
}


def ask(
    question: str = QUESTION, *, model: str = MODEL, params: Params | None = None, **fields: Any
) -> GenerationRequest:
    """A chat of one question, answered as likely as can be."""
    messages = None if {"prompt", "token_ids"} & fields.keys() else (Message("user", question),)
    return GenerationRequest(
        **{"request_id": "r", "model": model, "messages": messages, "params": params or likeliest(), **fields}
    )


def likeliest(**params: Any) -> Params:
    """Sampling without chance."""
    return Params(**{"temperature": 0.0, **params})


async def events_of(backend: Backend, request: GenerationRequest) -> list[Event]:
    """Everything it says, but for progress."""
    events, error = await told_by(backend, request)
    if error is not None:
        raise error
    return events


async def told_by(backend: Backend, request: GenerationRequest) -> tuple[list[Event], BackendError | None]:
    """Everything it says before it ends, but for progress, and the error it ends in."""
    events: list[Event] = []
    try:
        async with aclosing(backend.generate(request)) as stream:
            async for event in stream:
                if not isinstance(event, Progress):
                    events.append(event)
    except BackendError as error:
        return events, error
    return events, None


async def failure_of(backend: Backend, request: GenerationRequest) -> BackendError:
    """The error it ends in, which has to come."""
    _, error = await told_by(backend, request)
    assert error is not None, "The backend answered, and was expected to fail."
    return error


async def loadings_of(backend: Backend, model: str) -> list[Loading]:
    """All that `load` yields."""
    return [loading async for loading in backend.load(model)]


def text_of(events: Sequence[Event]) -> str:
    """The answer, joined."""
    return "".join(event.text for event in events if isinstance(event, Text))


def reasoning_of(events: Sequence[Event]) -> str:
    """The thinking, joined."""
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def done_of(events: Sequence[Event]) -> Done:
    """The end, of which there is one, and nothing after it."""
    assert [event for event in events if isinstance(event, Done)] == list(events[-1:])
    last = events[-1]
    assert isinstance(last, Done)
    return last
