"""The protocol as a JSON Schema, made from its models: `python -m server.schema > docs/protocol.schema.json`.

`$defs` has one entry a message; `client` and `server` say which of them each side may send.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import TypeAdapter

from server.protocol import PROTOCOL_VERSION, ClientMessage, ServerMessage

REFERENCE = "#/$defs/{model}"


def protocol_schema() -> dict[str, Any]:
    """The schema of one frame, whichever side it comes from."""
    server = TypeAdapter(ServerMessage).json_schema(mode="serialization", ref_template=REFERENCE)
    client = TypeAdapter(ClientMessage).json_schema(mode="validation", ref_template=REFERENCE)
    definitions = {name: _as_sent(definition) for name, definition in server.pop("$defs").items()}
    definitions |= client.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Switchboard's WebSocket protocol, version {PROTOCOL_VERSION}",
        "anyOf": [{"$ref": "#/$defs/client"}, {"$ref": "#/$defs/server"}],
        "$defs": {"client": client, "server": server, **dict(sorted(definitions.items()))},
    }


def _as_sent(definition: dict[str, Any]) -> dict[str, Any]:
    """What the server says is exact: a field that may be None is left out then, and every other one is there."""
    properties, required = {}, []
    for name, schema in definition["properties"].items():
        options = schema.get("anyOf", [])
        left = [option for option in options if option != {"type": "null"}]
        if len(left) == len(options):
            required.append(name)
            properties[name] = schema
        else:
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
            properties[name] = {**rest, **left[0]} if len(left) == 1 else {**rest, "anyOf": left}
    return {**definition, "properties": properties, "required": required, "additionalProperties": False}


def protocol_schema_text() -> str:
    """The schema as the file in `docs/` holds it."""
    return json.dumps(protocol_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(protocol_schema_text())
