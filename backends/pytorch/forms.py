"""The form that an answer is to have, as the engine's grammars say it. Knows nothing of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.base import GenerationRequest, Unsupported
from engine.errors import GrammarError

if TYPE_CHECKING:  # the engine's thread imports what it takes time to import
    from engine.guide import Guide
    from engine.structured import Grammars


def guide_for(request: GenerationRequest, grammars: Grammars) -> Guide:
    """What keeps the answer in the form of `request.response_format`. Raises Unsupported."""
    from engine.structured import json_grammar

    try:
        return grammars.guide(json_grammar(_schema(request)))
    except GrammarError as error:
        raise Unsupported(str(error), field="response_format") from error


def _schema(request: GenerationRequest) -> dict[str, object]:
    asked = request.response_format or {}
    match asked.get("type"), asked.get("schema"):
        case "json_object", _:
            return {"type": "object"}
        case "json_schema", dict() as schema:
            return schema
        case "json_schema", True:
            return {}
    raise Unsupported(
        "An answer can be a json_object, or keep to the schema of a json_schema.", field="response_format"
    )
