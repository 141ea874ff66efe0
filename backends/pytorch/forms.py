"""The form that an answer is to have, as a grammar: a document, calls of tools, or words in which calls may come.

The one place where an answer's form is put together; `tools.py` has the marks that calls are written between. Knows
nothing of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backends.base import GenerationRequest, Unsupported
from backends.pytorch.tools import CLOSE, OPEN, callable_functions, must_call, offers_tools
from engine.errors import GrammarError

if TYPE_CHECKING:  # brings what takes time to import
    from engine.guide import Guide
    from engine.structured import Grammars

MOST_CALLS = 8  # of functions in one answer

_WORDS = r"""
words: WORDS
WORDS: /(.|\n)*/
call_in_words: begun call
begun[lazy]: WORDS "{open}"
"""
_CALLS = r"""
first_call: "{open}" call
next_call: "\n{open}" call
call: "\n" ({names}) "\n{close}"
"""


def has_form(request: GenerationRequest) -> bool:
    """Whether the answer may not be just anything."""
    return request.response_format is not None or offers_tools(request)


def guide_for(request: GenerationRequest, grammars: Grammars) -> Guide:
    """What keeps the answer in its form. Raises Unsupported, naming what cannot be."""
    try:
        return grammars.guide(_grammar(request))
    except GrammarError as error:
        raise Unsupported(str(error), field="tools" if offers_tools(request) else "response_format") from error


def _grammar(request: GenerationRequest) -> str:
    """The form of the whole answer. Where a model thinks first, its thoughts go in front of `start`.

    Free words end with the first call: what may follow one is another, and nothing may follow one that was chosen by
    name. A document cannot be taken for a call.
    """
    from engine.structured import embedded_json, json_grammar, lark_grammar

    schema = _schema(request)
    if not offers_tools(request):
        return json_grammar(schema)
    calls = _call_rules(request)
    may_repeat = request.parallel_tool_calls and request.tool_choice in ("auto", "required")
    more = f"next_call{{0,{MOST_CALLS - 1}}}" if may_repeat else ""
    if must_call(request):
        return lark_grammar(f"start: first_call {more}\n{calls}")
    if request.response_format is not None:
        document = f"document: {embedded_json(schema)}"
        return lark_grammar(f"start: document | first_call {more}\n{document}\n{calls}")
    return lark_grammar(f"start: words | call_in_words {more}\n{_WORDS.format(open=OPEN)}\n{calls}")


def _call_rules(request: GenerationRequest) -> str:
    from engine.structured import embedded_json

    functions = callable_functions(request)
    rules = [
        _CALLS.format(open=OPEN, close=CLOSE, names=" | ".join(f"call_{place}" for place in range(len(functions))))
    ]
    for place, (name, function) in enumerate(functions.items()):
        head = json.dumps(f'{{"name": {json.dumps(name)}, "arguments": ', ensure_ascii=False)
        try:
            arguments = embedded_json(_arguments(function))
        except GrammarError as error:
            raise GrammarError(f"The parameters of {name} cannot be used. {error}") from error
        rules.append(f'call_{place}: {head} arguments_{place} "}}"\narguments_{place}: {arguments}')
    return "\n".join(rules)


def _arguments(function: Mapping[str, Any]) -> Mapping[str, object]:
    """The schema of a function's arguments, which are an object; none where none are told."""
    parameters = function.get("parameters") or {"properties": {}, "additionalProperties": False}
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise GrammarError("They have to be a schema of the type object.")
    return {**parameters, "type": "object"}


def _schema(request: GenerationRequest) -> dict[str, object]:
    asked = request.response_format or {}
    match asked.get("type"), asked.get("schema"):
        case (None, _) if request.response_format is None:
            return {}
        case "json_object", _:
            return {"type": "object"}
        case "json_schema", dict() as schema:
            return schema
    raise Unsupported(
        "An answer can be a json_object, or keep to the schema of a json_schema.", field="response_format"
    )
