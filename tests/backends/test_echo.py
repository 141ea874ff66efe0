from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from backends.base import Done, GenerationRequest, Message, Params, Text, Unsupported
from backends.echo import EchoBackend

ASKED = GenerationRequest("r", "echo", messages=(Message("user", "one two  three four"),))


def answer(request: GenerationRequest) -> tuple[str, tuple[int, ...], Done]:
    """The text, its tokens, and the end."""

    async def ask() -> tuple[str, tuple[int, ...], Done]:
        events = [event async for event in EchoBackend().generate(request)]
        texts = [event for event in events if isinstance(event, Text)]
        assert isinstance(events[-1], Done)
        tokens = tuple(token for text in texts for token in text.token_ids)
        return "".join(text.text for text in texts), tokens, events[-1]

    return asyncio.run(ask())


@pytest.mark.parametrize("limit", [None, 3])
def test_an_echo_goes_on_after_any_word(limit: int | None) -> None:
    asked = replace(ASKED, params=Params(max_tokens=limit))
    text, tokens, done = answer(asked)
    for cut in range(len(tokens) + 1):
        rest, others, end = answer(replace(asked, resume_token_ids=tokens[:cut]))
        assert tokens[:cut] + others == tokens
        assert text.endswith(rest)
        assert end == done


def test_a_continued_echo_says_what_is_left() -> None:
    text, _, done = answer(replace(ASKED, params=Params(max_tokens=2)))
    assert (text, done.finish_reason) == ("one two  ", "length")
    continued = replace(ASKED, params=Params(max_tokens=1), resume_text=text)
    assert answer(continued)[0] == "three "
    assert answer(replace(continued, resume_token_ids=(0,)))[0] == ""
    assert answer(replace(continued, params=Params(max_tokens=2), resume_token_ids=(0,)))[0] == "four"


@pytest.mark.parametrize(
    ("field", "value"),
    [("logprobs", 0), ("response_format", {"type": "json_object"}), ("token_ids", (1,)), ("tools", ({"type": "x"},))],
)
def test_what_an_echo_cannot_do_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(Unsupported, match=field) as refused:
        answer(replace(ASKED, **{field: value}))
    assert refused.value.field == field
