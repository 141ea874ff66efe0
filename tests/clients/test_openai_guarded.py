"""OpenAI's official client before a server that asks for keys, counts requests and limits their time and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import openai
import pytest

from tests.application import application
from tests.clients.table import shows
from tests.server.access.keys_for_tests import add_key

QUESTION: list[Any] = [{"role": "user", "content": "one two three"}]


class Guarded(NamedTuple):
    url: str
    ann: str
    bob: str

    def client(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    ann, bob = add_key(keys, "Ann"), add_key(keys, "Bob")
    limits = {"rate_limit": "5/hour", "rate_limit_loopback": "on", "request_timeout_s": 0.5, "max_body_bytes": 20_000}
    backends = ["echo", "tests.clients.scripted:Scripted"]
    with application(backends=backends, auth="on", keys_file=str(keys), **limits) as url:
        yield Guarded(url, ann, bob)


@shows("openai", "api_key, and what it is refused with", "whole", "stream")
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_lets_in_and_nothing_else_does(guarded: Guarded, stream: bool) -> None:
    with guarded.client("sb-wrong") as stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.chat.completions.create(model="echo", messages=QUESTION, stream=stream)
    assert (refused.value.type, refused.value.code) == ("invalid_request_error", "invalid_api_key")
    with guarded.client(guarded.ann) as ann:
        assert ann.chat.completions.create(model="echo", messages=QUESTION).choices[0].message.content


def test_an_answer_that_takes_too_long_is_given_up(guarded: Guarded) -> None:
    with guarded.client(guarded.ann) as ann, pytest.raises(openai.InternalServerError) as late:
        ann.chat.completions.create(model="silent", messages=QUESTION)
    assert (late.value.status_code, late.value.code) == (504, "backend_timeout")


def test_a_body_too_large_is_refused(guarded: Guarded) -> None:
    long: list[Any] = [{"role": "user", "content": "x" * 20_000}]
    with guarded.client(guarded.ann) as ann, pytest.raises(openai.APIStatusError, match="larger") as large:
        ann.chat.completions.create(model="echo", messages=long)
    assert large.value.status_code == 413


def test_who_asks_too_often_is_told_when_to_come_back_and_others_are_served(guarded: Guarded) -> None:
    def ask(client: openai.OpenAI, times: int) -> list[str]:
        return [client.completions.create(model="echo", prompt="a").choices[0].text for _ in range(times)]

    with guarded.client(guarded.ann) as ann, guarded.client(guarded.bob) as bob:
        with pytest.raises(openai.RateLimitError) as refused:
            ask(ann, times=6)
        assert refused.value.code == "rate_limit_exceeded"
        assert int(refused.value.response.headers["retry-after"]) > 0
        assert [model.id for model in ann.models.list()], "to look is no work"
        assert ask(bob, times=1) == ["a"]
