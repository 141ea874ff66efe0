from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol import BadFrame, ClientMessage, DeltaEvent, UserCommand, encode, parse_command

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["type", "message", "cmd_id", "id", "params", "parent_id", "model", "think", "position"])
TYPES = st.sampled_from(["user", "stop", "edit", "queue_move", "ping", "dance"])
COMMAND_LIKE = st.builds(
    lambda fields, kind, typed: fields | ({"type": kind} if typed else {}),
    st.dictionaries(KEYS, JSON, max_size=6),
    TYPES,
    st.booleans(),
)


def refused(text: str) -> BadFrame:
    with pytest.raises(BadFrame) as failure:
        parse_command(text)
    return failure.value


def outcome(text: str) -> ClientMessage | BadFrame:
    try:
        return parse_command(text)
    except BadFrame as bad:
        return bad


@given(st.text())
def test_no_text_gets_anything_but_a_bad_frame_out_of_the_parser(text: str):
    assert outcome(text)


@given(COMMAND_LIKE)
def test_nothing_like_a_command_gets_anything_but_a_bad_frame_out_of_the_parser(data: dict[str, object]):
    result = outcome(json.dumps(data))
    if isinstance(result, BadFrame):
        assert 0 < len(result.message) < 500
    else:
        assert result.type == data.get("type", "user")


def test_a_message_alone_is_something_said():
    assert parse_command('{"message":"Hi"}') == UserCommand(message="Hi")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        '{"message":NaN}',
        '{"message":Infinity}',
        '{"message":1e400}',
        '{"message":"\\ud800"}',
        "[" * 10_000,
        '{"a":' * 10_000,
        "'x'",
        '{"message":"x"} trailing',
    ],
)
def test_what_is_not_json_is_bad_json(text: str):
    assert refused(text).code == "bad_json"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"type":"user"}', "message"),
        ('{"type":"user","message":7}', "message"),
        ('{"type":"user","message":null}', "message"),
        ('{"message":"x","params":{"temperature":-1}}', "params.temperature"),
        ('{"message":"x","params":{"temperature":"1"}}', "params.temperature"),
        ('{"message":"x","params":{"max_tokens":0}}', "params.max_tokens"),
        ('{"message":"x","params":{"max_tokens":1000000000}}', "params.max_tokens"),
        ('{"message":"x","params":{"top_k":9223372036854775808}}', "params.top_k"),
        ('{"message":"x","params":{"n_discard":-1}}', "params.n_discard"),
        (json.dumps({"message": "x", "params": {"stop": ["a"] * 10_000}}), "params.stop"),
        ('{"type":"queue_move","id":"x","position":1.5}', "position"),
        ('{"type":"edit","id":"x"}', "message"),
        ('{"message":"x","params":{"diffusion":' + '{"a":' * 500 + "1" + "}" * 502, "params.diffusion"),
        (json.dumps({"message": "x", "params": {"diffusion": {"a": [[[[1]]]]}}}), "params.diffusion"),
        (json.dumps({"type": "user", "message": "x", "cmd_id": "c" * 65}), "cmd_id"),
    ],
)
def test_a_wrong_field_is_named(text: str, field: str):
    bad = refused(text)
    assert bad.code == "bad_message"
    assert bad.message.startswith(f"{field}:")


@pytest.mark.parametrize("text", ['{"type":"dance"}', '{"type":null}', '{"type":7}', '{"type":["user"]}'])
def test_an_unknown_type_is_said(text: str):
    assert refused(text).code in ("unknown_type", "bad_message")


@pytest.mark.parametrize("text", ["[]", "null", "7", '"hello"', "true"])
def test_a_frame_is_an_object(text: str):
    assert refused(text).code == "bad_message"


def test_of_duplicate_keys_the_last_counts():
    assert parse_command('{"message":"a","message":"b"}') == UserCommand(message="b")


def test_a_huge_key_is_only_passed_over():
    assert parse_command(json.dumps({"k" * 61_440: 1, "message": "Hi"})) == UserCommand(message="Hi")


def test_the_id_of_a_bad_command_is_kept_so_that_the_error_finds_it():
    assert refused('{"type":"user","cmd_id":"c"}').cmd_id == "c"
    assert refused('{"type":"user","cmd_id":7}').cmd_id is None


def test_fields_that_are_not_set_are_left_off_the_wire():
    assert "reasoning" not in json.loads(encode(DeltaEvent(id="x", offset=0, message="é")))
    assert json.loads(encode(DeltaEvent(id="x", offset=0, message="é")))["message"] == "é"
