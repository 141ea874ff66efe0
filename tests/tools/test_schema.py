from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.test_app import first_address, switchboard
from tools.schema import TARGET, schema, text
from tools.websocket_client import WebSocketClient


def validator(name: str) -> jsonschema.Draft202012Validator:
    document = schema()
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": document["$defs"]})


def valid(name: str, frame: dict[str, Any]) -> bool:
    return bool(validator(name).is_valid(frame))


def test_the_file_is_what_the_models_say() -> None:
    assert TARGET.read_text() == text(), "Run make schema and commit the result."


def test_the_file_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "frame",
    [
        {"message": "Hello"},
        {"type": "user", "message": "Hello", "cmd_id": "1", "params": {"temperature": 0, "stop": ["\n"]}},
        {"type": "stop"},
        {"type": "queue_move", "id": "a", "position": 0, "of a later version": True},
        {"type": "ping", "cmd_id": "1"},
    ],
)
def test_commands_are_valid(frame: dict[str, Any]) -> None:
    validator("ClientMessage").validate(frame)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"type": "user"},
        {"type": "dance"},
        {"type": "edit", "id": "a"},
        {"type": "user", "message": "Hello", "params": {"temperature": 3}},
        {"type": "user", "message": "Hello", "params": {"temprature": 1}},
        {"type": "user", "message": "Hello", "cmd_id": "x" * 65},
    ],
)
def test_what_is_no_command_is_not_valid(frame: dict[str, Any]) -> None:
    assert not valid("ClientMessage", frame)


def test_the_server_s_fields_are_there_or_absent_but_never_null() -> None:
    error = {"type": "error", "code": "bad_json", "message": "That is not valid JSON."}
    assert valid("ServerMessage", error)
    assert not valid("ServerMessage", {**error, "retry_after": None})
    assert not valid("ServerMessage", {"type": "error", "code": "bad_json"})
    assert not valid("ServerMessage", {**error, "code": "no such code"})


@pytest.fixture(scope="module")
def socket_address() -> Iterator[str]:
    with switchboard(BACKENDS="echo") as process:
        yield first_address(process) + "/ws"


def test_what_a_real_server_says_is_valid(socket_address: str) -> None:
    seen = []
    with WebSocketClient(socket_address) as client:
        for frame in (
            "no JSON",
            {"type": "dance"},
            {"type": "user", "message": "one two three", "cmd_id": "1"},
            {"type": "regenerate", "id": "a", "cmd_id": "2"},
            {"type": "ping", "cmd_id": "3"},
        ):
            client.send(frame if isinstance(frame, str) else json.dumps(frame))
        while {"ai", "pong"} - {message["type"] for message in seen}:
            seen.append(json.loads(client.receive()))
            validator("ServerMessage").validate(seen[-1])
        session = seen[0]["session"]
    with WebSocketClient(f"{socket_address}?session={session}") as client:
        while seen[-1]["type"] != "snapshot":
            seen.append(json.loads(client.receive()))
            validator("ServerMessage").validate(seen[-1])
    types = {message["type"] for message in seen}
    assert {"system", "error", "ack", "user", "typing", "delta", "ai", "pong", "snapshot"} <= types
