"""A stand-in for an OpenAI-compatible server, which answers as the recordings in `traces/` say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.backends.double import Reply, ServerDouble, read_exchange

TRACES = Path(__file__).parent / "traces"
CHAT, COMPLETIONS, MODELS = "/v1/chat/completions", "/v1/completions", "/v1/models"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"  # as the recordings list it, without its folder
SYSTEM = "You are a helpful AI assistant."  # said in the recordings
STREAM = "text/event-stream"
END = b"data: [DONE]\n\n"


def trace(name: str) -> Reply:
    """The recorded reply `server/name`, such as `llama.cpp/chat_stream`."""
    return read_exchange(TRACES / f"{name}.http").reply


def events(*objects: dict[str, object], end: bytes = END) -> Reply:
    """A stream of these objects, an event each."""
    pieces = [b"data: " + json.dumps(each).encode() + b"\n\n" for each in objects]
    return Reply(200, STREAM, [*pieces, end] if end else pieces)


def delta(finish_reason: str | None = None, **fields: object) -> dict[str, object]:
    """A chunk of a chat with one piece."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def refusal(status: int, message: str, *headers: tuple[str, str], **words: object) -> Reply:
    """An error as OpenAI words it."""
    body = json.dumps({"error": {"message": message, **words}}).encode()
    return Reply(status, "application/json", [body], headers)


@dataclass
class OpenAIDouble(ServerDouble):
    """Speaks as llama.cpp's server did."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recorded = [read_exchange(file) for file in sorted((TRACES / "llama.cpp").glob("*.http"))]
