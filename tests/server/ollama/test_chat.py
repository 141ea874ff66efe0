"""What a chat asks the hub for, and what is told of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backends.base import (
    BackendFailed,
    BackendUnreachable,
    ContextOverflow,
    Done,
    Loading,
    Message,
    ModelInfo,
    Overloaded,
    Params,
    Progress,
    Reasoning,
    Text,
    TokenLogprob,
    ToolCalls,
    Unsupported,
    Usage,
)
from server.hub import Hub
from tests.server.doubles import ManualClock, Puppet
from tests.server.ollama.serving import inside, lines_of

DONE = Done("stop", Usage(prompt_tokens=9, completion_tokens=2))
HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}


@pytest.fixture
def puppet() -> Puppet:
    thinker = ModelInfo("toy", temperature=0.2, capabilities=("completion", "thinking"))
    return Puppet(thinker, ModelInfo("other", capabilities=("completion", "continue")))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hub_and_client(puppet: Puppet, clock: ManualClock) -> Iterator[tuple[Hub, TestClient]]:
    with inside(puppet, clock=clock) as both:
        yield both


@pytest.fixture
def client(hub_and_client: tuple[Hub, TestClient]) -> TestClient:
    return hub_and_client[1]


def ask(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/chat", json={"model": "toy", "messages": HI, **fields})
    assert answer.status_code == 200, answer.text
    return lines_of(answer.content)


def whole(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/chat", json={"model": "toy", "messages": HI, "stream": False, **fields})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def refusal(client: TestClient, **fields: Any) -> tuple[int, str]:
    answer = client.post("/api/chat", json={"model": "toy", "messages": HI, **fields})
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]


def test_an_answer_comes_line_by_line_and_ends_in_done(client: TestClient, puppet: Puppet) -> None:
    puppet.say(Progress("prefill", 1, 2), "so ", "on", DONE)
    *pieces, last = ask(client)
    assert [piece["message"] for piece in pieces] == [{"role": "assistant", "content": text} for text in ("so ", "on")]
    assert {piece["model"] for piece in pieces} == {"toy"}, "the name is the one that was asked for"
    assert not any(piece["done"] for piece in pieces)
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")
    assert (last["prompt_eval_count"], last["eval_count"]) == (9, 2)
    assert last["total_duration"] >= last["load_duration"] + last["prompt_eval_duration"] + last["eval_duration"] > 0


def test_without_a_stream_it_comes_as_one_object(client: TestClient, puppet: Puppet) -> None:
    call = {"id": "call_1", "name": "add", "arguments": {"a": 1}}
    puppet.say(Reasoning("hm"), Reasoning("m"), "so ", "on", ToolCalls((call,)), replace(DONE, finish_reason="length"))
    told = whole(client)
    assert told["message"] == {
        "role": "assistant",
        "content": "so on",
        "thinking": "hmm",
        "tool_calls": [{"id": "call_1", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}}],
    }
    assert (told["done"], told["done_reason"], told["eval_count"]) == (True, "length", 2)


def test_a_call_of_a_tool_ends_in_stop_as_in_ollama(client: TestClient, puppet: Puppet) -> None:
    calls = tuple({"id": f"call_{name}", "name": name, "arguments": {}} for name in "ab")
    puppet.say(ToolCalls(calls), replace(DONE, finish_reason="tool_calls"))
    line, last = ask(client, tools=[TOOL])
    assert [call["function"]["index"] for call in line["message"]["tool_calls"]] == [0, 1]
    assert last["done_reason"] == "stop"


def test_what_is_asked_for_reaches_the_backend(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE)
    messages = [
        {"role": "SYSTEM", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "2", "tool_name": "add"},
    ]
    ask(
        client,
        model="puppet/toy:latest",
        messages=messages,
        tools=[TOOL],
        think="high",
        format={"type": "object"},
        options={"num_predict": 5, "seed": 3, "stop": ["END"]},
    )
    (request,) = puppet.requests
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "1+1?"),
        Message("assistant", "", tool_calls=({"id": "call_0", "name": "add", "arguments": {"a": 1}},)),
        Message("tool", "2", name="add"),
    )
    assert (request.model, request.tools, request.think) == ("toy", (TOOL,), True)
    assert request.response_format == {"type": "json_schema", "schema": {"type": "object"}}
    assert request.params == Params(temperature=0.2, top_p=0.9, top_k=40, max_tokens=5, seed=3, stop=("END",))
    assert request.fairness_key == "testclient"


def test_not_to_think_is_fine_for_whoever_cannot(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE)
    ask(client, model="other", think=False)
    assert puppet.requests[0].think is False


def test_json_is_a_format(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE, DONE)
    ask(client, format="json", think=False)
    ask(client, format="")
    assert [request.response_format for request in puppet.requests] == [{"type": "json_object"}, None]
    assert [request.think for request in puppet.requests] == [False, None]


def test_an_answer_that_has_begun_is_gone_on_with_where_the_model_can(client: TestClient, puppet: Puppet) -> None:
    messages = [*HI, {"role": "assistant", "content": "Hel"}]
    puppet.say("lo", DONE, "lo", DONE)
    ask(client, model="other", messages=messages)
    ask(client, model="toy", messages=messages)
    going_on, anew = puppet.requests
    assert (going_on.resume_text, going_on.messages) == ("Hel", (Message("user", "Hi"),))
    assert (anew.resume_text, anew.messages) == ("", (Message("user", "Hi"), Message("assistant", "Hel")))


def test_the_probabilities_of_tokens_are_told_when_they_are_asked_for(client: TestClient, puppet: Puppet) -> None:
    other = TokenLogprob(2, "no", b"no", -1.5)
    puppet.say(Text("so", (1,), (TokenLogprob(1, "so", b"so", -0.5, (other,)),)), DONE)
    line, _ = ask(client, logprobs=True, top_logprobs=1)
    assert puppet.requests[0].logprobs == 1
    assert line["logprobs"] == [
        {
            "token": "so",
            "logprob": -0.5,
            "bytes": [115, 111],
            "top_logprobs": [{"token": "no", "logprob": -1.5, "bytes": [110, 111]}],
        }
    ]


def test_what_nobody_heeds_is_told_beside_the_answer(client: TestClient, puppet: Puppet) -> None:
    puppet.say(DONE)
    asked = {"think": "low", "shift": True, "newer\nthan we": 1, "options": {"num_gpu": 1}}
    answer = client.post("/api/chat", json={"model": "toy", "messages": HI, **asked})
    assert answer.headers["x-unheeded"] == "newer?than we, think level, shift, num_gpu"


# Loading and unloading


def test_a_chat_without_messages_loads_the_model(client: TestClient, puppet: Puppet) -> None:
    puppet.loads.put_nowait(Loading("toy", "Loading into memory"))
    puppet.loads.put_nowait(Loading("toy", "ready"))
    answer = client.post("/api/chat", json={"model": "toy"})
    assert answer.json()["done_reason"] == "load"
    assert answer.json()["done"]
    assert puppet.loads.empty()


def test_a_model_stays_for_as_long_as_was_said_last(
    hub_and_client: tuple[Hub, TestClient], puppet: Puppet, clock: ManualClock
) -> None:
    hub, client = hub_and_client
    puppet.say(*[DONE] * 4)
    ask(client, keep_alive="5m")
    expires = client.get("/api/ps").json()["models"][0]["expires_at"]
    assert hub.residence.ends_at("puppet/toy") == clock.today() + 300
    assert expires.startswith("2025-")
    ask(client, keep_alive=-1)
    assert hub.residence.ends_at("puppet/toy") is None
    assert client.get("/api/ps").json()["models"][0]["expires_at"].startswith("2318-")
    ask(client, keep_alive=60)
    ask(client)
    assert hub.residence.ends_at("puppet/toy") is None, "who says nothing leaves it to the backend"


# What goes wrong


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (Overloaded("Engine overloaded.", retry_after=2), 503, "Engine overloaded."),
        (BackendUnreachable("Nobody is there."), 503, "Nobody is there."),
        (ContextOverflow("It is too long."), 400, "It is too long."),
        (BackendFailed("It broke."), 500, "It broke."),
        (Unsupported("It has none.", field="tools"), 400, '"toy" does not support tools: It has none.'),
        (Unsupported("No.", field="response_format"), 400, '"toy" does not support format: No.'),
        (RuntimeError("secret"), 500, "Something went wrong in the server. Its log says what."),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_before_the_first_line_has_a_status(
    client: TestClient, puppet: Puppet, error: Exception, status: int, text: str, stream: bool
) -> None:
    puppet.say(Progress("prefill"), error)
    assert refusal(client, stream=stream) == (status, text)


def test_who_finds_no_room_is_told_when_to_come_back(client: TestClient, puppet: Puppet) -> None:
    puppet.say(Overloaded("Engine overloaded.", retry_after=1.2))
    assert client.post("/api/chat", json={"model": "toy", "messages": HI}).headers["retry-after"] == "2"


def test_what_fails_later_is_the_last_line(client: TestClient, puppet: Puppet) -> None:
    puppet.say("so ", BackendFailed("It broke."))
    piece, last = ask(client)
    assert piece["message"]["content"] == "so "
    assert last == {"error": "It broke."}


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": None}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": 7}, 400, "model: Input should be a valid string."),
        ({"messages": "x"}, 400, "messages: Input should be a valid list."),
        ({"messages": [{"role": "robot", "content": ""}]}, 400, "messages.0.role: Input should be "),
        ({"stream": "no"}, 400, "stream: Input should be a valid boolean."),
        ({"format": "xml"}, 400, 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
        ({"format": 7}, 400, "format"),
        ({"think": "very"}, 400, "think"),
        ({"model": "other", "think": True}, 400, '"other" does not support thinking'),
        ({"model": "other", "think": "low"}, 400, '"other" does not support thinking'),
        ({"keep_alive": "5"}, 400, "keep_alive: '5' is not a duration. A unit is missing, such as s in 30s."),
        ({"top_logprobs": 21}, 400, "top_logprobs: Input should be less than or equal to 20."),
        ({"tools": [{"type": "function"}]}, 400, "tools.0.function: Field required."),
        ({"options": {"temperature": "hot"}}, 400, 'option "temperature" must be of type float32'),
        (
            {"messages": [{"role": "user", "content": "", "images": ["AA=="]}]},
            400,
            '"puppet/toy" does not support images',
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_name(
    client: TestClient, fields: dict[str, Any], status: int, text: str
) -> None:
    told = refusal(client, **fields)
    assert told[0] == status
    assert told[1].startswith(text)
