"""A request in Ollama's words. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from backends.base import GenerationRequest, Message, Params, Unsupported
from backends.calls import Call
from backends.fields import JsonObject


def check_supported(request: GenerationRequest) -> None:
    """Raise Unsupported, naming the field, for what Ollama's API has no word for."""
    refusals = {
        "n": request.n != 1,
        "logprobs": request.logprobs is not None,
        "token_ids": request.token_ids is not None,
        "resume_token_ids": bool(request.resume_token_ids),
        "logit_bias": bool(request.params.logit_bias),
        "diffusion": request.params.diffusion is not None,
        "tools": bool(request.tools) and request.prompt is not None,
        "tool_choice": request.tool_choice not in ("auto", "none"),
        "parallel_tool_calls": bool(request.tools) and not request.parallel_tool_calls,
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
        body |= {"prompt": request.prompt + request.resume_text, "raw": True}
        return Call("/api/generate", body, request.request_id)
    messages = request.messages or ()
    begun = [Message("assistant", request.resume_text)] if request.resume_text else []
    names = {call["id"]: call["name"] for message in messages for call in message.tool_calls}
    body["messages"] = [_turn(message, names) for message in (*messages, *begun)]
    if request.tools and request.tool_choice != "none":
        body["tools"] = list(request.tools)
    if think is not None:
        body["think"] = think
    return Call("/api/chat", body, request.request_id)


def _turn(message: Message, names: Mapping[str, str]) -> dict[str, object]:
    """A message with what it calls, or the call it answers; `names` are the functions' by the ids of their calls."""
    turn: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        told = {
            "tool_name": message.name or names.get(message.tool_call_id or ""),
            "tool_call_id": message.tool_call_id,
        }
        turn |= {name: value for name, value in told.items() if value}
    return turn


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
        "presence_penalty": params.presence_penalty,
        "frequency_penalty": params.frequency_penalty,
        "repeat_penalty": params.repeat_penalty,
    }
    return {name: value for name, value in options.items() if value is not None}


def _output_format(response_format: Mapping[str, object] | None) -> str | dict[str, object] | None:
    """`"json"`, a JSON Schema, or None for free text. Raises Unsupported."""
    if response_format is None:
        return None
    schema = response_format.get("schema")
    match response_format.get("type"):
        case "json_object":
            return "json"
        case "json_schema" if isinstance(schema, dict):
            return schema
    message = "Models of Ollama know the response_format json_object, and json_schema with a schema."
    raise Unsupported(message, field="response_format")
