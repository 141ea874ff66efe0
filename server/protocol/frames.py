"""Text frames: read into commands, and written from messages."""

from __future__ import annotations

import orjson
from pydantic import TypeAdapter, ValidationError

from server.protocol.codes import ErrorCode
from server.protocol.commands import ClientMessage
from server.protocol.parts import Message


class BadFrame(Exception):
    """A frame that is not a command. Carries what the answering `ErrorMessage` says."""

    def __init__(self, code: ErrorCode, message: str, cmd_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cmd_id = cmd_id


_client_message: TypeAdapter[ClientMessage] = TypeAdapter(ClientMessage)


def parse_command(text: str) -> ClientMessage:
    """Read one frame. `{"message": ...}` alone means a `user` command. Raises BadFrame."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame("bad_json", f"That is not valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BadFrame("bad_message", 'A frame is a JSON object, such as {"message": "Hello"}.')
    data.setdefault("type", "user")
    raw_id = data.get("cmd_id")
    cmd_id = raw_id if isinstance(raw_id, str) and len(raw_id) <= 64 else None
    try:
        return _client_message.validate_python(data, strict=True)
    except ValidationError as error:
        raise _bad_frame(error, cmd_id) from error


def _bad_frame(error: ValidationError, cmd_id: str | None) -> BadFrame:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"].startswith("union_tag"):
        return BadFrame("unknown_type", "There is no command of that type.", cmd_id)
    path = ".".join(str(part) for part in first["loc"][1:]) or "message"
    return BadFrame("bad_message", f"{path[:80]}: {first['msg']}.", cmd_id)


def encode(message: Message) -> str:
    """One frame of JSON text. Fields that are None are left out."""
    return message.model_dump_json(exclude_none=True)
