"""How questions are asked from now on: which model, which system prompt, how long and how bold the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Asking:
    """What is None is left to the server."""

    model: str | None = None
    system: str | None = None
    think: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None

    def command(self, message: str) -> dict[str, Any]:
        """The command that says `message`."""
        params = self._given("system", "max_tokens", "temperature", "seed")
        return {"type": "user", "message": message, **self._given("model", "think"), "params": params}

    def _given(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
