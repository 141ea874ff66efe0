"""A stand-in for an Ollama server of one version, which answers as the recordings in `traces/` say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.backends.double import Act, Reply, Seen, ServerDouble, error, read_exchange

__all__ = ["LOAD", "Act", "OllamaDouble", "Reply", "error", "lines", "trace"]

TRACES = Path(__file__).parent / "traces"
LOAD = "/api/chat without messages"  # what `will` calls a chat that only loads a model


def trace(name: str) -> Reply:
    """The recorded reply `version/name`, such as `v0.9.3/chat_stream`."""
    return read_exchange(TRACES / f"{name}.http").reply


def lines(*objects: dict[str, object]) -> Reply:
    """A stream of these objects, a chunk each."""
    return Reply(steps=[json.dumps(line).encode() + b"\n" for line in objects])


@dataclass
class OllamaDouble(ServerDouble):
    """Its model is in memory or not, as it was last asked to load or unload it."""

    version: str = "0.9.3"
    loaded: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recorded = [read_exchange(file) for file in sorted((TRACES / f"v{self.version}").glob("*.http"))]

    def reply_to(self, seen: Seen) -> Reply:
        loads = seen.body.get("messages") == []
        if planned := self.planned(LOAD if loads else seen.path):
            return planned
        if loads:
            self.loaded = "keep_alive" not in seen.body
        if seen.path == "/api/ps":
            return trace(f"v{self.version}/{'ps' if self.loaded else 'ps_empty'}")
        reply = self.recorded_reply(seen)
        return trace(f"v{self.version}/chat_load") if loads and reply.status == 501 else reply
