"""Conversations that are longer than what a model reads, or than it is allowed to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backends.base import ContextOverflow, GenerationRequest, Message, ModelInfo, Params, TokenCount
from server.hub import Hub
from server.ollama.window import Window, fit, without_oldest
from tests.server.doubles import Puppet

TURNS = (
    Message("system", "s" * 10),
    Message("user", "a" * 100),
    Message("assistant", "b" * 100),
    Message("user", "c" * 100),
    Message("assistant", "d" * 100),
    Message("user", "e" * 100),
)


class Counter(Puppet):
    """A token is a letter. Notes how often it was asked to count."""

    exact = True
    counted = 0

    async def count_tokens(self, request: GenerationRequest) -> TokenCount:
        self.counted += 1
        texts = [message.content for message in request.messages or ()] or [request.prompt or ""]
        return TokenCount(sum(map(len, texts)), self.exact)


def asked(*messages: Message, max_tokens: int | None = None, **fields: Any) -> GenerationRequest:
    shown = {} if "prompt" in fields else {"messages": messages or TURNS}
    return GenerationRequest("r", "toy", params=Params(max_tokens=max_tokens), **shown, **fields)


def fitted(request: GenerationRequest, window: Window, backend: Counter | None = None) -> GenerationRequest:
    async def test() -> GenerationRequest:
        hub = Hub([backend or Counter(ModelInfo("toy"))])
        await hub.start()
        try:
            return await fit(hub, request, window)
        finally:
            await hub.close()

    return asyncio.run(test())


def shown(request: GenerationRequest) -> str:
    return "".join(message.content[0] for message in request.messages or ())


@pytest.mark.parametrize(
    ("length", "left"),
    [(2000, "sabcde"), (511, "sabcde"), (510, "sbcde"), (411, "sbcde"), (311, "scde"), (210, "se"), (111, "se")],
)
def test_the_oldest_messages_go_until_the_rest_fits(length: int, left: str) -> None:
    request = fitted(asked(max_tokens=1), Window(length))
    assert shown(request) == left
    assert request.params.max_tokens == 1


def test_an_answer_claims_half_of_the_window_at_most() -> None:
    request = fitted(asked(max_tokens=900), Window(400))
    assert shown(request) == "se", "there are 200 tokens for the prompt"
    assert request.params.max_tokens == 290, "and then all that is left"


def test_an_answer_without_a_limit_claims_an_eighth() -> None:
    request = fitted(asked(), Window(480))
    assert (shown(request), request.params.max_tokens) == ("sbcde", 70)


def test_a_window_that_is_smaller_than_the_models_bounds_the_answer_too() -> None:
    for window in (Window(4000, num_ctx=600), Window(None, num_ctx=600)):
        request = fitted(asked(), window)
        assert (shown(request), request.params.max_tokens) == ("sabcde", 90)


def test_a_larger_window_than_the_models_is_the_models() -> None:
    assert fitted(asked(), Window(600, num_ctx=9000)).params.max_tokens == 90


def test_where_nothing_may_be_dropped_it_is_refused() -> None:
    with pytest.raises(ContextOverflow, match="The prompt has 510 tokens, and there is room for 500"):
        fitted(asked(), Window(500, truncate=False))


def test_what_has_to_stay_and_is_too_long_is_refused() -> None:
    with pytest.raises(ContextOverflow, match="The prompt has 110 tokens, and there is room for 90"):
        fitted(asked(), Window(90))
    with pytest.raises(ContextOverflow, match="The prompt has 100 tokens, and there is room for 90"):
        fitted(asked(prompt="a" * 100), Window(90))


def test_what_surely_fits_is_not_counted() -> None:
    backend = Counter(ModelInfo("toy"))
    request = asked(Message("user", "short"))
    assert fitted(request, Window(8192), backend) is request
    assert fitted(request, Window(None), backend) is request
    assert backend.counted == 0


def test_a_long_conversation_is_counted_a_few_times_only() -> None:
    backend = Counter(ModelInfo("toy"))
    turns = tuple(Message("user", "a" * 10) for _ in range(1000))
    assert len(fitted(asked(*turns), Window(1000), backend).messages or ()) == 87, "that is 875 tokens at most"
    assert backend.counted < 15


def test_where_tokens_are_only_guessed_whoever_answers_sees_to_it() -> None:
    backend = Counter(ModelInfo("toy"))
    backend.exact = False
    request = asked()
    assert fitted(request, Window(100), backend) is request
    bounded = fitted(request, Window(4000, num_ctx=100), backend)
    assert (bounded.messages, bounded.params.max_tokens) == (request.messages, 100)


def test_the_answer_of_a_tool_goes_with_its_call() -> None:
    call = Message("assistant", "", tool_calls=({"id": "1", "name": "add", "arguments": {}},))
    turns = (TURNS[0], TURNS[1], call, Message("tool", "2", name="add"), Message("user", "so?"))
    for count, left in [(0, 5), (1, 4), (2, 2), (3, 2), (4, 1)]:
        assert len(without_oldest(asked(*turns), count).messages or ()) == left
