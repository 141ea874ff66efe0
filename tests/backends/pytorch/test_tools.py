"""Tools: how a model is told of them, and the calls that it makes of them, which always fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backends.base import Done, Event, GenerationRequest, Message, Params, ToolCalls, Unsupported
from backends.pytorch.forms import guide_for
from backends.pytorch.tools import conversation
from engine.chat_template import JinjaTemplate
from tests.backends.pytorch.serving import error_of, events_of, request, requests_of, started, text_of, within
from tests.tiny_model import TEMPLATE

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 6},
        "days": {"$ref": "#/$defs/days"},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
SCHEMAS = {"weather": WEATHER, "paint": COLOUR, "noon": {"type": "object", "maxProperties": 0}}
TOOLS = (
    {"type": "function", "function": {"name": "weather", "description": "Tell it.", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "paint", "parameters": COLOUR, "strict": True}},
    {"type": "function", "function": {"name": "noon"}},
)
HOT = Params(temperature=1.0, seed=1, max_tokens=900)
SPEAKS_OF_TOOLS = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}use <tool_call>\n{% endif %}"
    "{% for message in messages %}{{ message.role }}: {{ message.content }}"
    "{% for call in message.tool_calls %}[{{ call.function.name }} {{ call.function.arguments | tojson }}]{% endfor %}"
    "\n{% endfor %}"
)
HISTORY = (
    Message("system", "Be brief."),
    Message("user", "Weather?"),
    Message("assistant", "I look.", tool_calls=({"id": "c1", "name": "weather", "arguments": {"city": "Ulm"}},)),
    Message("tool", "rain", tool_call_id="c1", name="weather"),
    Message("tool", "wind", tool_call_id="c2", name="gust"),
    Message("user", "And noon?"),
)


def asked(**changes: Any) -> GenerationRequest:
    return request(**{"tools": TOOLS, "params": HOT, **changes})


def calls_of(events: list[Event], index: int = 0) -> list[dict[str, Any]]:
    return [call for event in events if isinstance(event, ToolCalls) and event.index == index for call in event.calls]


def reason_of(events: list[Event]) -> str:
    return next(event.finish_reason for event in events if isinstance(event, Done))


# How a model is told


def test_a_template_that_speaks_of_tools_is_given_them() -> None:
    messages, variables = conversation(asked(messages=HISTORY), SPEAKS_OF_TOOLS)
    assert [tool["function"]["name"] for tool in variables["tools"]] == ["weather", "paint", "noon"]
    assert "strict" not in json.dumps(variables)
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert messages[2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Ulm"}}
    assert messages[3] == {"role": "tool", "content": "rain", "tool_call_id": "c1", "name": "weather"}


def test_such_a_template_writes_them_down() -> None:
    messages, variables = conversation(asked(messages=HISTORY), SPEAKS_OF_TOOLS)
    template = JinjaTemplate(SPEAKS_OF_TOOLS, {})
    try:
        text = template.render({**variables, "messages": messages}, True)
    finally:
        template.close()
    assert text.count("use <tool_call>") == 1
    assert '"function": {"name": "weather", "description": "Tell it."' in text
    assert 'assistant: I look.[weather {"city": "Ulm"}]' in text


def test_any_other_model_is_told_in_words() -> None:
    messages, variables = conversation(asked(messages=HISTORY), TEMPLATE)
    assert not variables
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "user"]
    system, _, call, results, _ = (message["content"] for message in messages)
    assert system.startswith("Be brief.\n\n")
    assert '{"name": "weather", "description": "Tell it.", "parameters": {' in system
    assert call == 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>'
    assert results == "The result of weather is: rain\nThe result of gust is: wind\nNow answer my question."


def test_without_a_system_message_there_is_one_about_the_tools() -> None:
    messages, _ = conversation(asked(tool_choice="required"), TEMPLATE)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[0]["content"].endswith("Answer with a call and nothing else.")


@pytest.mark.parametrize("template", [TEMPLATE, SPEAKS_OF_TOOLS, ""])
def test_tools_that_may_not_be_called_are_not_shown(template: str) -> None:
    messages, variables = conversation(asked(tool_choice="none"), template)
    assert (messages, variables) == ([{"role": "user", "content": "hello"}], {})


# Calls


@pytest.mark.parametrize("choice", ["required", "weather", "paint", "noon"])
@pytest.mark.parametrize("parallel", [True, False])
def test_a_call_that_must_be_made_is_made_and_fits(folder: Path, choice: str, parallel: bool) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            for seed in range(3):
                params = replace(HOT, seed=seed)
                events = await events_of(
                    backend, asked(tool_choice=choice, parallel_tool_calls=parallel, params=params)
                )
                calls = calls_of(events)
                assert (len(calls) >= 1) if parallel and choice == "required" else (len(calls) == 1)
                for call in calls:
                    assert choice in ("required", call["name"])
                    jsonschema.validate(call["arguments"], SCHEMAS[call["name"]])
                assert (text_of(events), reason_of(events)) == ("", "tool_calls")

    within(test)


def test_each_of_several_choices_makes_its_own_calls(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, asked(tool_choice="weather", n=3))
            calls = [call for index in range(3) for call in calls_of(events, index)]
            assert all(calls_of(events, index) for index in range(3))
            assert len({call["id"] for call in calls}) == len(calls)

    within(test)


def test_a_model_may_answer_in_words(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, asked(params=replace(HOT, max_tokens=30)))
            assert text_of(events)
            assert not calls_of(events)

    within(test)


def test_words_may_become_a_call_and_a_call_has_to_fit(folder: Path) -> None:
    call = '<tool_call>\n{"name": "paint", "arguments": {"colour": "red"}}\n</tool_call>'
    fitting = ["Hello <b>you</b>", "", "a <tool_cal", call, f"I paint.\n{call}", f"{call}\n{call}"]
    others = [f"{call} done", "<tool_call>\nred", call.replace("red", "pink"), call.replace("paint", "paints")]

    async def test() -> None:
        async with started(folder) as backend:
            await events_of(backend, request())
            engine = backend._active._engine()  # type: ignore[union-attr]
            for texts, expected in ((fitting, True), (others, False)):
                for text in texts:
                    guide = guide_for(asked(), engine.grammars)
                    ids = engine.tokenizer.encode(text)
                    fits = guide.allowed(ids) == len(ids)
                    assert fits is expected, text
            one = guide_for(asked(parallel_tool_calls=False), engine.grammars)
            ids = engine.tokenizer.encode(f"{call}\n")
            assert one.allowed(ids) == len(ids) - 1

    within(test)


@pytest.mark.parametrize(("bias", "calls"), [("<", True), ("{", False)])
def test_a_document_or_a_call_may_be_asked_for_at_once(folder: Path, bias: str, calls: bool) -> None:
    form = {"type": "json_schema", "schema": COLOUR}
    params = replace(HOT, logit_bias=((ord(bias) - 0x21, 50.0),))

    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, asked(response_format=form, params=params, parallel_tool_calls=False))
            if calls:
                [call] = calls_of(events)
                jsonschema.validate(call["arguments"], SCHEMAS[call["name"]])
            else:
                jsonschema.validate(json.loads(text_of(events)), COLOUR)

    within(test)


def test_a_call_that_is_cut_is_words(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            events = await events_of(backend, asked(tool_choice="weather", params=replace(HOT, max_tokens=30)))
            assert text_of(events).startswith('<tool_call>\n{"name": "weat')
            assert (calls_of(events), reason_of(events)) == ([], "length")

    within(test)


def test_tools_count_as_a_part_of_the_prompt(folder: Path) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            await events_of(backend, request())
            told, plain = [await backend.count_tokens(one) for one in (asked(), request())]
            assert told.exact
            assert told.n > plain.n + 300

    within(test)


# What cannot be done


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"tools": ({"type": "function", "function": {}},)}, "tools", "name"),
        ({"tools": ({},)}, "tools", "name"),
        ({"tools": (TOOLS[0], TOOLS[0])}, "tools", "Two functions"),
        ({"tool_choice": "nobody"}, "tool_choice", "nobody"),
        ({"messages": None, "prompt": "x"}, "tools", "messages"),
        ({"resume_token_ids": (1, 2)}, "tools", "anew"),
        ({"resume_text": "Well"}, "resume_text", "go on"),
        ({"tool_choice": "required", "params": Params(stop=("}",))}, "stop", "stop string"),
    ],
)
def test_what_cannot_be_asked_for_is_named(folder: Path, changes: dict[str, Any], field: str, reason: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            error = await error_of(backend, asked(**changes))
            assert isinstance(error, Unsupported)
            assert (error.field, reason in error.message) == (field, True), error.message
            assert requests_of(backend) == 0

    within(test)


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}},
            "bad cannot be used.*uniqueItems",
        ),
        ({"type": "string"}, "bad cannot be used.*type object"),
        ({"type": "object", "properties": {"a": {"enum": ["x" * 70_000]}}}, "longer"),
        (deep(5_000), "nested"),
    ],
)
def test_a_function_that_cannot_be_offered_is_named(folder: Path, parameters: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        async with started(folder) as backend:
            function = {"name": "bad", "parameters": parameters}
            error = await error_of(backend, asked(tools=(*TOOLS, {"type": "function", "function": function})))
            assert isinstance(error, Unsupported)
            assert error.field == "tools"
            with pytest.raises(Unsupported, match=reason):
                raise error

    within(test)
