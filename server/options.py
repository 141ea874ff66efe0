"""The part of the settings that the hub works by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.session import Limits


@dataclass(slots=True, frozen=True)
class HubOptions:
    """Named as in `.env`. `expected_models`: by backend, the model it should have, listed even while it is silent."""

    max_tokens: int = 200
    system_prompt: str = ""
    stream_flush_ms: int = 40
    detach_timeout_s: float = 600
    window_events: int = 10_000
    window_bytes: int = 4 * 1024 * 1024
    window_s: float = 300
    subscriber_bytes: int = 256 * 1024
    max_message_chars: int = 32_000
    max_frame_bytes: int = 65_536
    flush_interval_ms: int = 250
    drain_timeout_s: float = 30
    request_timeout_s: float = 300
    expected_models: Mapping[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """What each session is bounded by."""
        return Limits(self.window_events, self.window_bytes, self.subscriber_bytes)
