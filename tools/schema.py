"""Writes docs/protocol.schema.json from the models in server/protocol.py: `python -m tools.schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from server import protocol

TARGET = Path(__file__).resolve().parent.parent / "docs" / "protocol.schema.json"


def schema() -> dict[str, Any]:
    """The schema of every frame, with `ClientMessage` and `ServerMessage` among its definitions."""
    roots, document = TypeAdapter.json_schemas(
        [
            ("client", "validation", TypeAdapter(protocol.ClientMessage)),
            ("server", "serialization", TypeAdapter(protocol.ServerMessage)),
        ],
        title="Switchboard's WebSocket protocol",
        description="A frame from a client is a ClientMessage, one from the server a ServerMessage.",
    )
    definitions = document["$defs"]
    for model in _server_models(protocol.Message):
        if model.__name__ in definitions:
            _leave_off_null(definitions[model.__name__])
    definitions["ClientMessage"] = roots["client", "validation"]
    definitions["ServerMessage"] = roots["server", "serialization"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": document["title"],
        "description": document["description"],
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": dict(sorted(definitions.items())),
    }


def _server_models(model: type[protocol.Message]) -> list[type[protocol.Message]]:
    return [model, *(found for child in model.__subclasses__() for found in _server_models(child))]


def _leave_off_null(definition: dict[str, Any]) -> None:
    """On the wire, a field of the server's is there unless it is None: required, or absent, but never null."""
    required = []
    for name, field in definition.get("properties", {}).items():
        kinds = field.get("anyOf", [])
        if {"type": "null"} not in kinds:
            required.append(name)
            continue
        others = [kind for kind in kinds if kind != {"type": "null"}]
        del field["anyOf"], field["default"]
        field |= others[0] if len(others) == 1 else {"anyOf": others}
    definition["required"] = required


def text() -> str:
    """What the file should hold."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
    print(f"Wrote {TARGET.name}.")
