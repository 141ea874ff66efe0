"""How tools are shown to a model, and what has been said with them.

A model whose own template speaks of tools in these marks is told through it. Every other one gets a system text of our
own, and calls and their results become words of the assistant and of the user: no template refuses those. Knows nothing
of how an answer is made to keep to this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from backends.base import GenerationRequest, Message, Unsupported
from engine.errors import GrammarError
from engine.schema_bounds import bounded_json

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_LONGEST_NAME = 128

_EXPLAINED = """\
You can call functions. These are the functions, as JSON:
{functions}

To call one, write its name and its arguments between these marks, and nothing after them:
<tool_call>
{{"name": "function", "arguments": {{"argument": "value"}}}}
</tool_call>
{when}"""
# Told so, a model of 135 million parameters makes an answer of what it gets; without the last line, it calls again.
_RESULT = "The result of {name} is: {content}"
_AFTER_RESULTS = "Now answer my question."
_WHEN_FREE = "Where no function helps, answer in words."
_WHEN_FORCED = "Answer with a call and nothing else."


def offers_tools(request: GenerationRequest) -> bool:
    """Whether the answer may call something."""
    return bool(request.tools) and request.tool_choice != "none"


def must_call(request: GenerationRequest) -> bool:
    """Whether the answer has to."""
    return offers_tools(request) and request.tool_choice != "auto"


def callable_functions(request: GenerationRequest) -> dict[str, dict[str, Any]]:
    """The functions that the answer may call by name: all, or the one that is chosen.

    Raises Unsupported for what are no functions, and for a choice of one that is not there.
    """
    functions: dict[str, dict[str, Any]] = {}
    for tool in request.tools:
        function = tool.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not (isinstance(function, dict) and isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME):
            raise Unsupported(
                f"Each tool has to be a function with a name of 1 to {_LONGEST_NAME} characters.", field="tools"
            )
        if name in functions:
            raise Unsupported(f"Two functions have the name {name}.", field="tools")
        functions[name] = function
    if request.tool_choice in ("auto", "none", "required"):
        return functions
    if request.tool_choice not in functions:
        raise Unsupported(f"There is no function {request.tool_choice[:80]} to call.", field="tool_choice")
    return {request.tool_choice: functions[request.tool_choice]}


def conversation(request: GenerationRequest, template: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages as the model's `template` takes them, and the variables it is given beside them.

    Raises Unsupported for tools that are too much to be shown.
    """
    messages = request.messages or ()
    as_json(request.tools)
    if "tools" in template and OPEN in template:
        return [_as_templates_take_it(message) for message in messages], _variables(request)
    told = list(_in_words(messages))
    if offers_tools(request):
        if told and told[0]["role"] == "system":
            told[0]["content"] = f"{told[0]['content']}\n\n{_explanation(request)}"
        else:
            told.insert(0, {"role": "system", "content": _explanation(request)})
    return told, {}


def as_json(value: object) -> str:
    """JSON as templates write it, with a space after each comma and colon. Raises Unsupported for far too much."""
    try:
        return bounded_json(value)
    except GrammarError as error:
        raise Unsupported(str(error), field="tools") from error


def _variables(request: GenerationRequest) -> dict[str, Any]:
    return {"tools": _shown(request)} if offers_tools(request) else {}


def _shown(request: GenerationRequest) -> list[dict[str, Any]]:
    """The tools without what only clients and servers care for."""
    return [
        {"type": "function", "function": {key: value for key, value in tool["function"].items() if key != "strict"}}
        for tool in request.tools
    ]


def _explanation(request: GenerationRequest) -> str:
    functions = "\n".join(as_json(tool["function"]) for tool in _shown(request))
    return _EXPLAINED.format(functions=functions, when=_WHEN_FORCED if must_call(request) else _WHEN_FREE)


def _as_templates_take_it(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        told["tool_calls"] = [
            {
                "type": "function",
                "id": call.get("id"),
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told |= {"tool_call_id": message.tool_call_id, "name": message.name}
    return told


def _in_words(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Calls as the assistant wrote them; the results that follow each other as one message of the user's."""
    names = {call.get("id"): call["name"] for message in messages for call in message.tool_calls}
    for is_result, some in groupby(messages, lambda message: message.role == "tool"):
        if is_result:
            told = (
                _RESULT.format(name=names.get(one.tool_call_id, one.name or "the call"), content=one.content)
                for one in some
            )
            yield {"role": "user", "content": "\n".join([*told, _AFTER_RESULTS])}
            continue
        for message in some:
            calls = [_written(call) for call in message.tool_calls]
            words = [message.content] if message.content or not calls else []
            yield {"role": message.role, "content": "\n".join([*words, *calls])}


def _written(call: Mapping[str, Any]) -> str:
    return f"{OPEN}\n{as_json({'name': call['name'], 'arguments': call['arguments']})}\n{CLOSE}"
