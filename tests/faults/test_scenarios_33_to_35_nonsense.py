"""Frames and requests that mean nothing, or what no model could do: each is an error, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.whole_server import play, say, whole
from tests.server.serving import joined
from tests.tiny_model import write_tiny_model

AT_ONCE_S = 2.0  # twenty times what a refusal may take

NO_COMMANDS: list[tuple[str, str, str]] = [  # the frame, the error, and what its sentence names
    ("", "bad_json", ""),
    ("{", "bad_json", ""),
    ('{"message": "x"} trailing', "bad_json", ""),
    ("[]", "bad_message", "object"),
    ("null", "bad_message", "object"),
    ("7", "bad_message", "object"),
    ('{"type": "dance"}', "unknown_type", ""),
    ('{"type": null}', "unknown_type", ""),
    ('{"type": ["user"]}', "unknown_type", ""),
    ('{"type": "user"}', "bad_message", "message"),
    ('{"message": 7}', "bad_message", "message"),
    ('{"message": null}', "bad_message", "message"),
    ('{"type": "stop", "id": 7}', "bad_message", "id"),
    ('{"type": "stop", "id": ""}', "bad_message", "id"),
    ('{"message": "x", "cmd_id": 7}', "bad_message", "cmd_id"),
    ('{"message": "x", "cmd_id": "' + "y" * 65 + '"}', "bad_message", "cmd_id"),
    ('{"message": "x", "params": {"temperature": 1e400}}', "bad_json", ""),
    ('{"message": "x", "params": {"temperature": NaN}}', "bad_json", ""),
    ("[" * 10_000 + "]" * 10_000, "bad_json", ""),
    ('{"message":' + "[" * 10_000 + "]" * 10_000 + "}", "bad_json", ""),
]
HARMLESS = ['{"type":"ping","type":"ping"}', '{"type":"ping","' + "k" * 60_000 + '":1}']


def test_33_whatever_is_no_command_is_one_error_and_the_connection_stays() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client:
            for number, (frame, code, named) in enumerate(NO_COMMANDS):
                if number % 10 == 9:  # or it would be too many in a row
                    await client.send('{"type":"ping"}')
                    await client.until("pong")
                await client.send(frame)
                error = await client.until("error")
                assert error["code"] == code, frame[:80]
                assert named in str(error["message"]), frame[:80]
                assert len(str(error["message"])) < 300
            for frame in HARMLESS:
                await client.send(frame)
                await client.until("pong")
            assert not server.recital.requests
            assert server.session(client).head == 0

    play(scenario)


def test_33_twenty_in_a_row_close_the_connection() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client, joined(server.ws) as other:
            for _ in range(20):
                await client.send("{")
            assert await client.until_closed() == 4400
            await other.send(say("Go"))
            await other.until("ai")

    play(scenario)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from(["user", "stop", "edit", "select", "queue_move", "queue_edit", "continue", "remove", "ping"])
FIELDS = st.sampled_from(["message", "id", "cmd_id", "parent_id", "position", "params", "model", "think"])
FRAMES = st.text(max_size=60) | st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}), TYPES, st.dictionaries(FIELDS, JSON, max_size=4)
)


@settings(max_examples=10)
@given(frames=st.lists(FRAMES, min_size=1, max_size=15))
def test_33_no_frame_at_all_ends_in_more_than_an_error(frames: list[str]) -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client:
            for frame in frames:
                await client.send(frame)
            await client.send('{"type":"ping","cmd_id":"still here"}')
            while (await client.until("pong")).get("cmd_id") != "still here":
                pass
            assert "internal" not in [frame.get("code") for frame in client.frames]

    play(scenario)


def test_34_a_binary_frame_is_an_error_and_the_connection_stays(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client:
            for data in (b"", b"\x00\xff", b'{"type":"ping"}', b"x" * 60_000):
                await client.socket.send(data)
                assert (await client.until("error"))["code"] == "bad_message"
            await client.send('{"type":"ping"}')
            await client.until("pong")

    play(scenario)
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


ABUSED_PARAMS: list[dict[str, object]] = [
    {"max_tokens": -1},
    {"max_tokens": 0},
    {"max_tokens": 1_000_000_000},
    {"max_tokens": 1.5},
    {"max_tokens": "10"},
    {"temperature": -1},
    {"temperature": 1e308},
    {"top_p": -0.1},
    {"top_k": 2**63},
    {"top_k": -5},
    {"seed": -1},
    {"seed": 2**64},
    {"stop": ["x"] * 10_000},
    {"stop": ["x" * 10_000]},
    {"n_discard": -1},
    {"logit_bias": {str(token): 1 for token in range(5_000)}},
]


def test_35_numbers_no_model_could_use_are_refused_in_a_chat_and_the_model_never_sees_them() -> None:
    async def scenario() -> None:
        async with whole() as server, joined(server.ws) as client:
            loop = asyncio.get_running_loop()
            for number, params in enumerate(ABUSED_PARAMS):
                frame = json.dumps({"type": "user", "message": "x", "cmd_id": str(number), "params": params})
                began = loop.time()
                await client.send(frame)
                error = await client.until("error", "ack")
                assert (error["type"], error.get("code")) == ("error", "bad_message"), params
                assert next(iter(params)) in str(error["message"])
                assert loop.time() - began < AT_ONCE_S
            await client.send(say("x" * 32_001, "long"))
            assert (await client.until("error"))["code"] == "message_too_long"
            assert not server.recital.requests

    play(scenario)


def test_35_numbers_no_model_could_use_are_refused_over_http_and_the_model_never_sees_them() -> None:
    many = {str(token): 1 for token in range(1_000_000)}
    bodies = [json.dumps({"prompt": "x", **params}) for params in (*ABUSED_PARAMS, {"logit_bias": many})]
    bodies += ['{"prompt":"x","temperature":NaN}', '{"prompt":"x","temperature":Infinity}']

    async def scenario() -> None:
        async with whole() as server, server.http() as http:
            loop = asyncio.get_running_loop()
            for body in bodies:
                began = loop.time()
                answer = await http.post("/v1/completions", content=body)
                assert answer.status_code in (400, 413, 422), body[:80]
                assert answer.json()["error"]["message"]
                assert loop.time() - began < AT_ONCE_S
            assert not server.recital.requests

    play(scenario)


def test_35_a_prompt_of_two_hundred_thousand_tokens_is_refused_with_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = write_tiny_model(tmp_path / "tiny.gguf")
        engine = {"backends": ["pytorch"], "model_path": str(path), "model_dir": str(tmp_path)}
        async with whole(**engine) as server, server.http() as http:
            assert (await http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})).is_success
            answer = await http.post("/v1/completions", json={"prompt": "x" * 200_000})
            assert answer.status_code == 400
            assert "1,024" in answer.json()["error"]["message"]
            assert (await http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})).is_success

    play(scenario)
