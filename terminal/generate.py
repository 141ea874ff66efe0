"""`generate`: one question, one answer, for pipes: text to standard output, all else to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from terminal.address import Address
from terminal.api import Api, spoken
from terminal.characters import escape
from terminal.trouble import Trouble

PATH = "/v1/chat/completions"
AS_IN_CHATS = {"temperature": 0.7, "top_p": 0.9, "top_k": 40}  # the API's own would draw from all that is possible


@dataclass(slots=True, frozen=True)
class Question:
    """What is asked, and how. What is None is left to the server."""

    prompt: str
    system: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: Sequence[str] = ()

    def body(self) -> dict[str, Any]:
        """The request, in OpenAI's form."""
        messages = [{"role": "user", "content": self.prompt}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        given = {name: getattr(self, name) for name in ("model", "max_tokens", "temperature", "seed")}
        chosen = {name: value for name, value in given.items() if value is not None}
        stop = {"stop": list(self.stop)} if self.stop else {}
        streaming = {"stream": True, "stream_options": {"include_usage": True}}
        return {"messages": messages, **streaming, **AS_IN_CHATS, **chosen, **stop}


@dataclass(slots=True)
class Result:
    """The whole answer, as `--json` prints it."""

    text: str = ""
    reasoning: str = ""
    model: str = ""
    id: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    first_ms: float | None = None

    def take(self, chunk: dict[str, Any]) -> str:
        """Take in one piece of the stream. Gives the text that is new."""
        self.id, self.model = chunk.get("id") or self.id, chunk.get("model") or self.model
        self.usage = chunk.get("usage") or self.usage
        fresh = ""
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta", {})
            fresh += delta.get("content") or ""
            self.reasoning += delta.get("reasoning") or ""
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if fresh and self.first_ms is None:
            self.first_ms = self._passed_ms()
        self.text += fresh
        return fresh

    def line(self) -> str:
        """All of it in one line of JSON, plain ASCII."""
        whole = {
            "text": self.text,
            **({"reasoning": self.reasoning} if self.reasoning else {}),
            "finish_reason": self.finish_reason,
            "model": self.model,
            "id": self.id,
            "usage": self.usage,
            "timings": {"first_ms": self.first_ms, "total_ms": self._passed_ms()},
        }
        return json.dumps(whole).replace("\x7f", "\\u007f")

    def _passed_ms(self) -> float:
        return round((time.monotonic() - self.began) * 1000, 1)


async def generate(address: Address, question: Question, *, as_json: bool) -> None:
    """Print the answer as it comes, or its whole result as one line of JSON. Raises Trouble."""
    result = Result()
    try:
        async with Api(address) as api, aclosing(api.lines(PATH, question.body())) as lines:
            async for chunk in _chunks(lines):
                fresh = result.take(chunk)
                if not as_json:
                    _put(fresh)
        if result.finish_reason is None:
            raise Trouble("The server ended the answer before it was whole.")
    finally:
        if not as_json and result.text and not result.text.endswith("\n"):
            _put("\n")
    if as_json:
        _put(result.line() + "\n")


async def _chunks(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The pieces of a stream of server-sent events, up to its end. Raises Trouble for an error among them."""
    async for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            return
        try:
            chunk = json.loads(data)
        except ValueError as error:
            raise Trouble("What the server streams is no JSON.") from error
        if failure := spoken(chunk):
            raise Trouble(failure)
        yield chunk


def _put(text: str) -> None:
    """Text goes into a pipe or a file as it is; at a terminal, what would act on that is shown."""
    sys.stdout.write(escape(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def prompt_of(words: Sequence[str]) -> str:
    """What is asked: the words, and below them what comes through a pipe."""
    said = " ".join(words)
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    return "\n\n".join(part for part in (said, piped.rstrip("\n")) if part.strip())
