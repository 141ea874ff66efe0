"""What a prompt asks the hub for, and what is refused of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backends.base import Done, Loading, Message, Reasoning, Usage
from tests.server.doubles import Puppet
from tests.server.ollama.serving import inside, lines_of

DONE = Done("length", Usage(prompt_tokens=9, completion_tokens=2))


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture
def client(puppet: Puppet) -> Iterator[TestClient]:
    with inside(puppet) as (_, client):
        yield client


def test_a_prompt_is_a_chat_of_one_question(client: TestClient, puppet: Puppet) -> None:
    puppet.say(Reasoning("hm"), "so ", "on", DONE)
    answer = client.post("/api/generate", json={"model": "toy", "prompt": "Hi", "system": "Be brief."})
    assert puppet.requests[0].messages == (Message("system", "Be brief."), Message("user", "Hi"))
    thought, *pieces, last = lines_of(answer.content)
    assert (thought["response"], thought["thinking"]) == ("", "hm")
    assert [piece["response"] for piece in pieces] == ["so ", "on"]
    assert (last["response"], last["done"], last["done_reason"], last["eval_count"]) == ("", True, "length", 2)


def test_a_raw_prompt_is_taken_as_it_is(client: TestClient, puppet: Puppet) -> None:
    puppet.say("so ", "on", DONE)
    answer = client.post("/api/generate", json={"model": "toy", "prompt": "Hi", "raw": True, "stream": False})
    assert (puppet.requests[0].prompt, puppet.requests[0].messages) == ("Hi", None)
    assert answer.json()["response"] == "so on"


def test_without_a_prompt_the_model_is_loaded_or_unloaded(client: TestClient, puppet: Puppet) -> None:
    puppet.loads.put_nowait(Loading("toy", "ready"))
    for asked, reason in [({}, "load"), ({"keep_alive": "0"}, "unload")]:
        told = client.post("/api/generate", json={"model": "toy", **asked}).json()
        assert (told["response"], told["done"], told["done_reason"]) == ("", True, reason)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"raw": True, "system": "a"}, "raw mode does not support template, system, or context"),
        ({"template": "{{ .Prompt }}"}, "A model's own template is used here."),
        ({"context": [1, 2]}, "context is not supported here."),
        ({"suffix": "}"}, '"toy" does not support insert'),
        ({"images": ["AA=="]}, '"puppet/toy" does not support images'),
        ({"options": {"stop": "a"}}, 'option "stop" must be of type array'),
    ],
)
def test_what_nobody_here_can_do_is_refused(client: TestClient, fields: dict[str, Any], text: str) -> None:
    answer = client.post("/api/generate", json={"model": "toy", "prompt": "Hi", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "missing request body"),
        (b'{"model":', "The body is not JSON: "),
        (b"[]", "The body is not a JSON object."),
        (b'{"prompt": "a"}', "model is required"),
    ],
)
def test_a_body_that_is_no_request_is_refused(client: TestClient, body: bytes, text: str) -> None:
    answer = client.post("/api/generate", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)
