"""Completions as a program asks for them: what is told, and with which status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from backends.base import (
    BackendError,
    BackendFailed,
    BackendTimeout,
    BackendUnreachable,
    ContextOverflow,
    Done,
    ModelInfo,
    Overloaded,
    Progress,
    Reasoning,
    Unsupported,
    Usage,
)
from backends.echo import EchoBackend
from server.hub import Hub
from server.openai.answering import Answering
from server.openai.completions import CompletionRequest
from server.routes.completions import completions_router
from tests.server.doubles import Puppet, eventually
from tests.server.routed import routed

DONE = Done("stop", Usage(prompt_tokens=9, cached_tokens=8, completion_tokens=2))


@pytest.fixture
def puppet() -> Puppet:
    return Puppet(ModelInfo("toy"), ModelInfo("echo"))


@pytest.fixture
def client(puppet: Puppet) -> Iterator[TestClient]:
    hub = Hub([EchoBackend(), puppet])
    with routed(hub, completions_router(hub)) as client:
        yield client


def ask(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/completions", json={"prompt": "one two three", **body})


def events(answer: Any) -> list[Any]:
    """What the stream says, read as the standard has it. Fails unless it ends as it should."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines if not line.startswith(":")]


def text_of(pieces: list[Any]) -> str:
    return "".join(choice["text"] for piece in pieces for choice in piece["choices"])


# Answers


def test_an_answer_comes_in_one_piece(client: TestClient) -> None:
    answer = ask(client)
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"].startswith("cmpl-")
    assert (body["object"], body["model"]) == ("text_completion", "echo/echo")
    assert body["choices"] == [{"text": "one two three", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 6
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}


def test_an_answer_that_was_cut_says_so(client: TestClient) -> None:
    body = ask(client, max_tokens=2).json()
    assert (body["choices"][0]["text"], body["choices"][0]["finish_reason"]) == ("one two ", "length")


def test_a_stream_is_the_same_answer_in_pieces(client: TestClient) -> None:
    pieces = events(ask(client, stream=True))
    assert text_of(pieces) == "one two three"
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None, None, None, "stop"]
    assert len({(piece["id"], piece["created"], piece["model"], piece["object"]) for piece in pieces}) == 1
    assert all("usage" not in piece for piece in pieces)


def test_a_stream_ends_with_its_usage_if_asked(client: TestClient) -> None:
    *pieces, last = events(ask(client, stream=True, stream_options={"include_usage": True}))
    assert all(piece["usage"] is None for piece in pieces)
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (3, 3)


def test_two_answers_have_two_ids(client: TestClient) -> None:
    assert ask(client).json()["id"] != ask(client).json()["id"]


@pytest.mark.parametrize("stream", [False, True])
def test_only_the_text_is_the_text(client: TestClient, puppet: Puppet, stream: bool) -> None:
    puppet.say(Progress("prefill", 1, 9), Reasoning("hm"), "so ", "on", DONE)
    answer = ask(client, model="toy", stream=stream)
    assert text_of(events(answer) if stream else [answer.json()]) == "so on"


@pytest.mark.parametrize(
    ("asked", "told"),
    [(None, "echo/echo"), ("default", "echo/echo"), ("toy", "puppet/toy"), ("puppet/echo", "puppet/echo")],
)
def test_a_model_is_named_as_the_hub_names_it(client: TestClient, puppet: Puppet, asked: str, told: str) -> None:
    puppet.say(DONE)
    assert ask(client, model=asked).json()["model"] == told


def test_the_backend_is_asked_what_the_client_asked(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE)
    answer = ask(client, model="toy", max_tokens=5, temperature=0.5, seed=3, stop="END")
    [request] = puppet.requests
    assert (request.prompt, request.messages, request.token_ids) == ("one two three", None, None)
    assert (request.params.max_tokens, request.params.temperature) == (5, 0.5)
    assert (request.params.seed, request.params.stop) == (3, ("END",))
    assert answer.json()["id"] == f"cmpl-{request.request_id}", "a line of the log can be found by the answer's id"


def test_one_client_is_one_as_to_fairness(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE, DONE)
    ask(client, model="toy")
    ask(client, model="toy")
    first, second = puppet.requests
    assert first.fairness_key == second.fairness_key != ""
    assert first.request_id != second.request_id


def test_what_the_body_is_decides_and_not_what_it_is_called(client: TestClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}  # as `curl -d` says
    assert client.post("/v1/completions", content='{"prompt": "a"}', headers=headers).status_code == 200


# Refusals


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("Engine overloaded.", retry_after=1.2), 503, "overloaded"),
        (ContextOverflow("Too long."), 400, "context_length_exceeded"),
        (Unsupported("No.", field="top_k"), 400, "unsupported"),
        (BackendUnreachable("Nobody there."), 503, "backend_unreachable"),
        (BackendTimeout("Too slow."), 504, "backend_timeout"),
        (BackendFailed("It broke."), 500, "backend_error"),
        (RuntimeError("/a/secret/path"), 500, "internal"),
    ],
)
def test_what_fails_before_the_answer_has_a_status_also_in_a_stream(
    client: TestClient, puppet: Puppet, stream: bool, error: Exception, status: int, code: str
) -> None:
    puppet.say(Progress("queued", position=1), error)
    answer = ask(client, model="toy", stream=stream)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    told = answer.json()["error"]
    assert told["code"] == code
    assert "secret" not in told["message"]
    assert told["param"] == getattr(error, "field", None)
    assert answer.headers.get("retry-after") == ("2" if isinstance(error, Overloaded) else None)


def test_an_unknown_model_is_not_found(client: TestClient) -> None:
    answer = ask(client, model="nobody")
    assert answer.status_code == 404
    assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize("body", ["{", "[]", "prompt=a", "", '{"prompt": 1}', "{}"])
def test_a_bad_body_is_a_400_and_never_a_422(client: TestClient, body: str) -> None:
    answer = client.post("/v1/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_field_is_named(client: TestClient) -> None:
    answer = ask(client, wurst=3)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "wurst"


def test_a_body_too_large_is_a_413_that_says_how_large_it_may_be(client: TestClient) -> None:
    answer = ask(client, prompt="x" * 10_000)
    assert answer.status_code == 413
    assert "10,000 bytes" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "completions", 405), ("POST", "nowhere", 404)])
def test_what_there_is_not_is_told_in_the_same_form(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, f"/v1/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


# What goes wrong in mid-answer


@pytest.mark.parametrize(
    ("error", "message"),
    [(BackendFailed("It broke."), "It broke."), (EOFError(), "The answer broke off."), (ValueError("x"), "went wrong")],
)
def test_a_stream_that_breaks_says_so_and_ends_as_it_should(
    client: TestClient, puppet: Puppet, error: Exception, message: str
) -> None:
    puppet.say("so ", error)
    answer = ask(client, model="toy", stream=True)
    first, last = events(answer)
    assert answer.status_code == 200
    assert text_of([first]) == "so "
    assert message in last["error"]["message"]
    assert last["error"]["type"] == "server_error"


@pytest.mark.parametrize("error", [BackendFailed("It broke."), EOFError()])
def test_half_an_answer_is_none(client: TestClient, puppet: Puppet, error: Exception) -> None:
    puppet.say("so ", error)
    answer = ask(client, model="toy")
    assert answer.status_code == 500
    assert "broke" in answer.json()["error"]["message"]


def test_a_failure_of_a_kind_that_nobody_knows_is_a_500(client: TestClient, puppet: Puppet) -> None:
    puppet.say(BackendError("Something else."))
    assert ask(client, model="toy").status_code == 500


# A server that stops


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_when_the_server_stops_is_told_to_come_back(stream: bool) -> None:
    async def test() -> list[Message]:
        puppet, sent, said = Puppet(), [], asyncio.Event()
        hub = Hub([puppet])
        await hub.start()
        asked = CompletionRequest.model_validate({"prompt": "a", "stream": stream})

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError("Nobody leaves.")

        async def send(message: Message) -> None:
            sent.append(message)
            said.set()

        answer = await Answering(hub).answer(asked)
        serving = asyncio.create_task(answer({"type": "http"}, receive, send))
        await eventually(lambda: puppet.requests)
        if stream:
            puppet.say("so ")
            await said.wait()
        serving.cancel()
        await serving
        assert len(puppet.cancelled) == 1
        await hub.close()
        return sent

    head, *bodies = asyncio.run(test())
    assert head["status"] == (200 if stream else 503)
    text = b"".join(body["body"] for body in bodies).decode()
    assert "restarting" in text
    assert text.endswith("data: [DONE]\n\n") == stream
    assert not bodies[-1].get("more_body")
