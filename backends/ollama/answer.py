"""A request in Ollama's words, and its answer's lines as our events. Does no I/O.

Any field of a line may be missing, of another type or unknown; the last line may carry text, thinking and tool calls
like every other; `done` may be missing where `done_reason` stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Literal
from uuid import uuid4

from backends.base import (
    Event,
    GenerationRequest,
    Params,
    Reasoning,
    Text,
    ToolCalls,
    Unsupported,
    Usage,
)
from backends.calls import Call, cut_off
from backends.fields import JsonObject, count_at, text_at
from backends.http import error_text
from backends.ollama.client import NAME
from backends.ollama.errors import broke
from backends.think_tags import ThinkTagSplitter
from backends.tool_arguments import read_arguments, unreadable_call

NANOSECONDS = 1e9


def check_supported(request: GenerationRequest) -> None:
    """Raise Unsupported, naming the field, for what Ollama's API has no word for."""
    refusals = {
        "n": request.n != 1,
        "logprobs": request.logprobs is not None,
        "token_ids": request.token_ids is not None,
        "resume_token_ids": bool(request.resume_token_ids),
        "diffusion": request.params.diffusion is not None,
        "tools": bool(request.tools) and request.prompt is not None,
    }
    for field, refused in refusals.items():
        if refused:
            message = f"Models of Ollama cannot be asked with {field}. Leave it out, or pick another backend."
            raise Unsupported(message, field=field)


def build_call(request: GenerationRequest, options: JsonObject, think: bool | None, most_tokens: int | None) -> Call:
    """The call for `request`. Raises Unsupported.

    `options` are Ollama's own and go with every request. `most_tokens` bounds an answer that has no limit: when the
    context is full, the server would shift it and go on. The beginning of an answer goes as its last message.
    """
    body: dict[str, object] = {
        "model": request.model,
        "stream": True,
        "options": {**sampling_options(request.params, most_tokens), **options},
    }
    output_format = _output_format(request.response_format)
    if output_format is not None:
        body["format"] = output_format
    if request.prompt is not None:
        return Call("/api/generate", {**body, "prompt": request.prompt + request.resume_text, "raw": True})
    turns = [{"role": turn.role, "content": turn.content} for turn in request.messages or ()]
    begun = [{"role": "assistant", "content": request.resume_text}] if request.resume_text else []
    body["messages"] = turns + begun
    if request.tools:
        body["tools"] = list(request.tools)
    if think is not None:
        body["think"] = think
    return Call("/api/chat", body)


def sampling_options(params: Params, most_tokens: int | None = None) -> dict[str, object]:
    """`params` by Ollama's names, without what is not set."""
    options: dict[str, object | None] = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "top_k": params.top_k,
        "min_p": params.min_p,
        "num_predict": params.max_tokens or most_tokens,
        "seed": params.seed,
        "stop": list(params.stop) or None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _output_format(response_format: Mapping[str, object] | None) -> str | dict[str, object] | None:
    """`"json"`, a JSON Schema, or None for free text. Raises Unsupported."""
    if response_format is None:
        return None
    if response_format.get("type") == "json_object":
        return "json"
    schema = response_format.get("schema")
    if isinstance(schema, dict):
        return schema
    message = "Models of Ollama know the response_format json_object, and json_schema with a schema."
    raise Unsupported(message, field="response_format")


class Answer:
    """Folds the lines of one answer into events.

    `split_tags`: the server was not told how to think, so thinking may come inside the text, between tags.
    """

    def __init__(self, model: str, *, split_tags: bool) -> None:
        self._model = model
        self._splitter = ThinkTagSplitter() if split_tags else None
        self._done_reason: str | None = None
        self._called = False
        self.begun = False  # the first line was seen
        self.done = False  # the last one was
        self.first_piece_at: float | None = None  # on the monotonic clock
        self.usage = Usage()
        self.tokens_per_second: float | None = None

    def feed(self, line: JsonObject) -> Iterator[Event]:
        """The events of one line. Raises a BackendError for an error line."""
        self.begun = True
        if line.get("error"):
            raise broke(error_text(line), self._model)
        for event in self._pieces(line):
            self.first_piece_at = self.first_piece_at or time.monotonic()
            yield event
        self._note_end(line)

    def _pieces(self, line: JsonObject) -> Iterator[Event]:
        message = line.get("message")
        source = message if isinstance(message, dict) else line
        if thinking := text_at(source, "thinking"):
            yield Reasoning(thinking)
        if content := text_at(source, "content") or text_at(line, "response"):
            yield from self._splitter.feed(content) if self._splitter else (Text(content),)
        if calls := source.get("tool_calls"):
            self._called = True
            yield ToolCalls(tuple(_tool_calls(calls)))

    def finish(self) -> Iterator[Event]:
        """What was held back, when the body has ended. Raises BackendFailed when the answer is not complete."""
        yield from self.release()
        if not self.done and self._done_reason is None:
            raise cut_off(NAME)

    def release(self) -> Iterator[Event]:
        """What was held back, when nothing more will come."""
        if self._splitter:
            yield from self._splitter.finish()

    @property
    def only_loaded(self) -> bool:
        """Whether the model was loaded and nothing more, which is the answer to a request that asks nothing."""
        return self._done_reason == "load" and self.first_piece_at is None

    @property
    def finish_reason(self) -> Literal["stop", "length", "tool_calls"]:
        if self._done_reason == "length":
            return "length"
        return "tool_calls" if self._called else "stop"

    def _note_end(self, line: JsonObject) -> None:
        self.done = self.done or line.get("done") is True
        reason = line.get("done_reason")
        if isinstance(reason, str) and reason:
            self._done_reason = reason
        if "eval_count" in line or "prompt_eval_count" in line:
            tokens = count_at(line, "eval_count")
            self.usage = Usage(prompt_tokens=count_at(line, "prompt_eval_count"), completion_tokens=tokens)
            seconds = count_at(line, "eval_duration") / NANOSECONDS
            self.tokens_per_second = tokens / seconds if tokens and seconds else None


def _tool_calls(calls: object) -> Iterator[dict[str, object]]:
    """Calls as the seam has them. Ollama's arguments are an object, those of servers like it a string of JSON."""
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not text_at(function, "name"):
            raise unreadable_call()
        yield {
            "id": text_at(call, "id") or f"call_{uuid4().hex[:16]}",
            "name": text_at(function, "name"),
            "arguments": read_arguments(function.get("arguments")),
        }
